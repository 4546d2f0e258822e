"""Contradicting and impossible options are refused with a remedy; configuration files are read and shown."""

from __future__ import annotations

import shlex
import time
from contextlib import suppress

import pytest
import yaml

from adu_bench.cli.check import limited
from adu_bench.cli.main import _parser, main
from adu_bench.core.checks import run_all
from adu_bench.core.errors import RunFailed, UserError


@pytest.mark.parametrize(
    ("command", "what", "remedy"),
    [
        ("check adu --all", "--all and 'adu' were both given.", "adu-bench check adu, or adu-bench check --all"),
        ("check adu --timeout -1", "--timeout -1.0 is not a time.", "Leave it out for no limit."),
        ("bench --rounds 0", "--rounds 0 is below one.", "Try: adu-bench bench --rounds 1"),
        ("bench --batch 0", "--batch 0 is below one.", "Try: adu-bench bench --batch 1"),
        (
            "data prepare officehome --download --from 'a b'",
            "--from and --download were both given.",
            "adu-bench data prepare officehome --download, or adu-bench data prepare officehome --from 'a b'",
        ),
        ("data list foo", "adu-bench data list takes no name (foo).", "Leave it out; see adu-bench data --help"),
        ("data where pacs --download", "data where takes no --download.", "Leave it out; see adu-bench data --help"),
        ("data verify pacs --skip-bad", "data verify takes no --skip-bad.", "Leave it out; see adu-bench data --help"),
        ("data prepare pacs --json", "data prepare takes no --json.", "Leave it out; see adu-bench data --help"),
        ("list", "adu-bench list needs KIND.", "Try: adu-bench list --help"),
        ("compare", "adu-bench compare needs A and B.", "Try: adu-bench compare --help"),
        ("run --sede 1", "", "Try: adu-bench run --help"),
        ("run --seeds 1-1000000000", "is not a valid choice of seeds", "For example --seeds 3 or --seeds 1,5."),
        ("run --seeds 1000000000", "is not a valid choice of seeds", "For example --seeds 3 or --seeds 1,5."),
        (
            "run --seeds 9223372036854775808,1",
            "is not a valid choice of seeds",
            "For example --seeds 3 or --seeds 1,5.",
        ),
        ("run --sizes 1-1000000000", "of sizes", "For example --sizes 1, --sizes 1-5 or --sizes 1,3."),
        ("attention adu --seed 9223372036854775808", "is not a seed", "For example --seed 1."),
        ("pretrain --seed 9223372036854775808", "is not a seed", "For example --seed 1."),
        ("verify x.zip --seed 9223372036854775808", "is not a seed", "For example --seed 1."),
    ],
)
def test_refused_with_a_remedy(capsys, command, what, remedy):
    assert main(shlex.split(command)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert what in lines[0]
    assert lines[-1] == remedy


@pytest.mark.parametrize("joined", [False, True])
def test_an_option_that_is_twice_in_a_file_is_refused(capsys, tmp_path, joined):
    path = tmp_path / "options.yaml"
    path.write_text("suite: toy\nlimit: 1\nsuite: emoji-mini\n")
    assert main(["run", "--dry", *([f"--config={path}"] if joined else ["--config", str(path)])]) == 2
    told = capsys.readouterr().err
    assert "The key 'suite' is there twice (line 3)." in told
    assert len(told.splitlines()) == 3


def test_options_come_from_a_file_that_print_config_writes(capsys, tmp_path):
    given = ["run", "--seeds", "2", "--methods", "adu[gamma=10],zero-shot", "--from", "mine", "--limit", "1"]
    with pytest.raises(SystemExit):
        _parser().parse_args([*given, "--print_config"])
    written = capsys.readouterr().out
    assert yaml.safe_load(written)["limit"] == 1
    (tmp_path / "options.yaml").write_text(written)
    read = _parser().parse_args(["run", "--config", str(tmp_path / "options.yaml"), "--limit", "3"])["run"]
    assert (read.seeds, read.methods, read["from"], read.limit) == ("2", "adu[gamma=10],zero-shot", "mine", 3)


def test_a_check_that_takes_too_long_fails_and_the_next_one_runs():
    def slow(subject):
        time.sleep(30)

    def slow_or_refused(subject):
        with suppress(RunFailed, UserError):
            slow(subject)

    def quick(subject):
        pass

    start = time.perf_counter()
    found = dict(limited(run_all([slow, slow_or_refused, quick], None), 0.1))
    assert found == {
        "slow": "The check took longer than 0.1 s (--timeout).",
        "slow_or_refused": "the same as in 'slow'",
        "quick": "",
    }
    assert time.perf_counter() - start < 20
