"""Wrong, damaged and hostile input ends with three sentences and status 2, and leaves nothing behind."""

from __future__ import annotations

import errno
import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest

from adu_bench.cli.main import COMMANDS, main
from adu_bench.cli.terminal import console, guarded_output, printable
from adu_bench.core.errors import UserError
from adu_bench.core.progress import uncounted
from adu_bench.data.cache import cached
from adu_bench.data.files import inspect_files
from adu_bench.data.prepare.archive import unpack
from adu_bench.data.prepare.build import prepare
from adu_bench.data.rows import RowCache, keys_of
from tests.conftest import hear_ctrl_c
from tests.folders import own_folder
from tests.hostile.corpus import ROWS, SUITE

BOMB = "".join(f"k{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 9)}]\n" for i in range(12))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sentences(capsys, *arguments: str) -> list[str]:
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 3, captured.err
    return lines


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("", BOMB, "alias"),
        ("", "deep: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("", "studies: 3\n", "not a mapping"),
        ("", "studies: {a: 3}\n", "list of sweeps"),
        ("", "settings: [1]\n", "not a mapping"),
        ("title: T", "title: 2024-13-45", "month must be in 1..12"),
        ("title: T", "title: \x00", "not allowed"),
        ("sizes: [1]", "sizes: [-1]", "at least one domain"),
        ("seeds: [1]", "seeds: [-1]", "from 0 to"),
        ("seeds: [1]", "seeds: [100000000000000000000]", "from 0 to"),
        ("shots: 4", "shots: 1000000000000000000000", "above 1,000,000"),
        ("shots: 4", "shots: 1.0e+21", "not an integer"),
        ("batch: 32", "batch: 100000000000000000000", "batch size"),
        ("classes: all", "classes: {file: /dev/zero}", "cannot be read"),
        ("classes: all", r'classes: {file: "a\0b"}', "NUL"),
        ("title: T", r'title: "\ud800"', "half of a character"),
        ("shots: 4", "shots: 0x" + "f" * 5000, "digits"),
        ("epochs: 4", "epochs: 0x" + "f" * 5000, "digits"),
        ("classes: all", "classes: {file: pipe}", "cannot be read"),
    ],
)
def test_a_hostile_suite_is_refused(old, new, reason, here, capsys):
    os.mkfifo(here / "pipe")
    (here / "s.yaml").write_text(SUITE.replace(old, new) if old else SUITE + new)
    assert reason.lower() in " ".join(sentences(capsys, "show", "./s.yaml")).lower()


@pytest.mark.parametrize(
    "path", ["/dev/zero", "pipe", "large.yaml", "folder", "missing.yaml", "empty.yaml", "latin.yaml"]
)
@pytest.mark.parametrize("option", ["--suite", "--settings"])
def test_what_is_no_text_file_is_refused(path, option, here, capsys):
    os.mkfifo(here / "pipe")
    (here / "folder").mkdir()
    (here / "large.yaml").write_text("a: 1\n" * 300_000)
    (here / "empty.yaml").write_text("")
    (here / "latin.yaml").write_bytes("title: Stra\xdfe".encode("latin-1"))
    (here / "link.yaml").symlink_to(path)
    given = path if option == "--settings" else "./link.yaml"
    sentences(capsys, "run", "--dry", *(() if option == "--suite" else ("--suite", "toy")), option, given)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--suite", "toy", "--dry", "--seeds", "1000000000000"),
        ("run", "--suite", "toy", "--dry", "--seeds", "1,99999999999999999999999"),
        ("run", "--suite", "toy", "--dry", "--seeds", "-1"),
        ("run", "--suite", "toy", "--dry", "--out", "x" * 5000),
        ("run", "--suite", "toy", "--dry", "--out", "a\0b"),
        ("status", "--suite", "toy", "--out", "a\0b"),
        ("score", "--suite", "toy", "--runs", "x" * 5000),
        ("leaderboard", "--suite", "toy", "--runs", "x" * 5000),
    ],
)
def test_hostile_arguments_are_refused(arguments, here, capsys):
    sentences(capsys, *arguments)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "methods"),
        ("run", "--suite", "toy", "--dry"),
        ("status", "--suite", "toy"),
        ("show", "adu"),
        ("check", "adu"),
        ("tune", "adu", "--suite", "toy"),
    ],
)
def test_an_installation_without_methods_says_so(arguments, monkeypatch, capsys):
    monkeypatch.setattr("adu_bench.registry.catalogue.shipped_folder", lambda: None)
    assert sentences(capsys, *arguments)[0] == "No method is installed."


@pytest.mark.parametrize("command", [("doctor",), ("check", "collapse")])
def test_a_missing_package_is_named(command, here):
    (here / "torch.py").write_text("raise ImportError('No module named torch', name='torch')\n")
    run = [sys.executable, "-m", "adu_bench", *command]
    done = subprocess.run(run, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(here)}, timeout=120)
    assert "Traceback" not in done.stderr
    if command == ("doctor",):
        assert done.returncode == 1
        assert "torch cannot be imported" in done.stdout
    else:
        assert done.returncode == 2
        assert "The package 'torch' cannot be imported." in done.stderr


LIBRARY = """import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    raise ImportError("interrupted within a library")
"""


def test_ctrl_c_during_imports_is_one_sentence(here):
    (here / "jsonargparse.py").write_text(LIBRARY)
    run = [sys.executable, "-m", "adu_bench", "list", "metrics"]
    environment = os.environ | {"PYTHONPATH": str(here)}
    done = subprocess.run(
        run, capture_output=True, text=True, env=environment, preexec_fn=hear_ctrl_c, cwd=here, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_a_cache_on_a_file_system_without_locks_is_named_and_so_is_the_option(here, monkeypatch):
    def refused(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refused)
    monkeypatch.setenv("ADU_BENCH_CACHE", str(here))
    monkeypatch.setenv("ADU_BENCH_DATA", str(here))
    rows = RowCache("rows", (3,), np.float32, {})
    for use in (
        lambda: cached("a", lambda: np.zeros(3)),
        lambda: inspect_files(here, ["a"]),
        lambda: rows.ensure(keys_of(["ab" * 32]), lambda which: []),
    ):
        with pytest.raises(UserError, match="file system with locks: ADU_BENCH_CACHE"):
            use()
    with pytest.raises(UserError, match="file system with locks: ADU_BENCH_DATA"):
        prepare("mine", here)


def test_folders_of_killed_test_sessions_are_deleted(monkeypatch, here):
    monkeypatch.setattr("tempfile.tempdir", str(here))
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    for owner in (dead.pid, os.getpid()):
        (here / f"adu-bench-cache-{owner}-x").mkdir()
    own_folder("cache")
    left = [path.name for path in here.iterdir()]
    assert f"adu-bench-cache-{dead.pid}-x" not in left
    assert f"adu-bench-cache-{os.getpid()}-x" in left
    assert len(left) == 2


def test_names_cannot_control_the_terminal(here, capsys):
    (here / "s.yaml").write_text(SUITE.replace("title: T", 'title: "a\\e]0;owned\\a\\e[2Jb\\u202ec\\x9b1mß"'))
    assert main(["show", "./s.yaml"]) == 0
    shown = capsys.readouterr().out
    assert r"a\x1b]0;owned\x07\x1b[2Jb\u202ec\x9b1mß" in shown
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_tabs_and_line_ends_stay_and_colours_of_names_do_not():
    assert printable("red\tand\r\n") == "red\tand\r\n"
    assert printable("good\rbad\x1b[8mhidden\u061c") == r"good\rbad\x1b[8mhidden\u061c"


def test_tables_have_colours_of_their_own_only():
    screen = io.StringIO()
    with redirect_stdout(screen), guarded_output():
        table = console(force_terminal=True, color_system="standard", width=60)
        table.print("[bold]a[/] \x1b[8mhidden", highlight=False)
    assert "\x1b[1ma\x1b[0m" in screen.getvalue()
    assert r"\x1b[8mhidden" in screen.getvalue()


def in_shell(line: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Run the command with redirections of its outputs, ``{}`` in a line of a shell."""
    command = shlex.join([sys.executable, "-m", "adu_bench", *arguments])
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line.format(command)}"],
        capture_output=True,
        text=True,
        env=os.environ | variables,
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
@pytest.mark.parametrize("arguments", [("list", "metrics"), ("data", "list", "--json"), ("--help",), ("--version",)])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_is_one_error(arguments, unbuffered):
    done = in_shell("{} > /dev/full", *arguments, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 3


@pytest.mark.parametrize(
    ("line", "arguments", "status"),
    [
        ("{} >&-", ("list", "metrics"), 0),
        ("{} >&- 2>&- <&-", ("list", "metrics"), 0),
        ("{} >&-", ("leaderboard", "--rows", ROWS.parent), 0),
        ("{} | true", ("leaderboard", "--rows", ROWS.parent), 0),
        ("{} 2>&1 | true", ("show", "nothing"), 2),
        ("{} 2>/dev/full", ("show", "nothing"), 2),
    ],
)
def test_an_output_that_nobody_reads_is_no_error(line, arguments, status):
    done = in_shell(line, *map(str, arguments))
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_names_that_an_encoding_lacks_are_escaped(here):
    (here / "s.yaml").write_text(SUITE.replace("title: T", "title: für 猫"), encoding="utf-8")
    done = in_shell("{}", "show", "./s.yaml", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert r"f\xfcr \u732b" in done.stdout


def test_help_has_no_control_characters(capsys):
    with pytest.raises(SystemExit):
        main(["status", "--help"])
    assert "--print_config[=flags]" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_each_default_once(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = re.split(r"\n  (?=--)", capsys.readouterr().out.partition("\noptions:\n")[2])
    assert len(options) > 2
    for option in options:
        assert option.count("default: ") <= 1, option
        assert not re.search(r"type: |default:\s+(0|0\.0|-1|False|null)?\)", option), option


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_a_large_file_that_is_no_archive_is_not_read_to_its_end(name, here, monkeypatch):
    def read(path):
        raise AssertionError("all of it was read")

    monkeypatch.setattr("adu_bench.data.prepare.archive.file_sha256", read)
    with (here / name).open("wb") as file:
        file.truncate(30_000_000_000)
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(here / name, here / "images", uncounted)
