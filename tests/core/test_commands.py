"""Command lines in messages can be pasted, and repeat what the user typed."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

import adu_bench
from adu_bench.cli.main import COMMANDS, _parser
from adu_bench.core.commands import FOLDER, REPEATED, command, repeating


def _options(name: str) -> set[str]:
    actions = _parser()._subcommands_action._name_parser_map[name]._actions
    return {option.removeprefix("--") for action in actions for option in action.option_strings}


@pytest.mark.parametrize("name", COMMANDS)
def test_options_that_are_repeated_are_those_that_a_command_has(name):
    known = _options(name)
    assert set(REPEATED.get(name, ())) <= known
    if name in REPEATED and name not in ("check", "verify", "tune"):
        assert FOLDER.get(name, "runs") in known


def test_what_the_user_typed_is_repeated_where_the_other_command_takes_it():
    typed = {"from": "my methods", "backbone": "", "seeds": "1,", "limit": 2, "out": "my-runs", "jobs": 4}
    with repeating("run", typed):
        assert command("audit", suite="toy") == (
            "adu-bench audit --suite toy --from 'my methods' --seeds 1, --limit 2 --runs my-runs"
        )
        assert command("check", "mine") == "adu-bench check mine --from 'my methods'"
        assert command("verify", "b.zip", **{"from": ""}) == "adu-bench verify b.zip"
        assert command("run", methods="adu[gamma=1]", seeds="3").split(" --from")[0] == (
            "adu-bench run --methods 'adu[gamma=1]' --seeds 3"
        )
        assert command("list", "methods") == "adu-bench list methods"
    assert command("audit", suite="toy") == "adu-bench audit --suite toy"


def test_the_folder_of_runs_is_named_where_another_would_be_read():
    with repeating("run", {"out": "runs"}):
        assert command("run", suite="toy") == "adu-bench run --suite toy"
        assert command("leaderboard", suite="toy") == "adu-bench leaderboard --suite toy --runs runs"
    with repeating("compare", {"runs": "", "rows": "rows"}):
        assert command("run", suite="toy") == "adu-bench run --suite toy"
    with repeating("compare", {"runs": "a b"}):
        assert command("run", suite="toy") == "adu-bench run --suite toy --out 'a b'"


def test_a_suite_that_is_a_file_is_named_by_its_path():
    with repeating("run", {"suite": "here/mine.yaml"}):
        assert command("run", suite="mine") == "adu-bench run --suite here/mine.yaml"
        assert command("run", suite="toy") == "adu-bench run --suite toy"


def test_no_message_writes_such_a_command_line_by_hand():
    """A line that is put together from values forgets options and quotes."""
    for path in Path(adu_bench.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
                assert not re.search(rf"adu-bench ({'|'.join(REPEATED)}) .*--", text), f"{path}: {text}"


def test_printed_lines_are_read_as_they_were_meant():
    typed = {"from": "it's here", "settings": "a b.yaml"}
    with repeating("score", typed):
        words = shlex.split(command("run", suite="toy", methods="adu[gamma=1],coin", study=""))
    options = _parser().parse_args(words[1:]).run
    assert (options["from"], options.settings, options.methods) == ("it's here", "a b.yaml", "adu[gamma=1],coin")
