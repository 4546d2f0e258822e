"""README.md and docs/ are correct: commands parse, outputs are those of the commands, links lead to files."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import adu_bench
from adu_bench.cli.main import COMMANDS, _parser, main
from adu_bench.conformance import run_checks
from adu_bench.core.errors import UserError
from adu_bench.core.groups import GROUPS
from adu_bench.leaderboard.committed import committed_board
from adu_bench.leaderboard.rows import rows_dir
from adu_bench.registry import Catalogue
from adu_bench.report.methods_page import Page

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in DOCS))


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(text: str) -> Iterator[str]:
    """Yield the commands of a page: lines of blocks, and code within lines; not those with options in brackets."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("adu-bench "):
                yield line
    outside = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`(adu-bench [^`]+)`", outside):
        yield " ".join(code.split())


def parsed(command: str) -> None:
    """Parse a command without running it; a placeholder for a number stands for 1, and `a|b` for a."""
    words = shlex.split(re.split(r" [|>] ", command)[0], comments=True)[1:]
    known = ["1" if word in ("N", "D") else re.sub(r"^([a-z]+)\|.*", r"\1", word) for word in words]
    _parser().parse_args(known)


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_understood(page):
    wrong = {}
    for command in commands(text_of(page)):
        if "[" in command.replace("[lr=", "").replace("[gamma=", "") or "\\|" in command or "COMMAND" in command:
            # A table of options.
            continue
        try:
            # A command's name alone stands for the command.
            if command.removeprefix("adu-bench ") not in COMMANDS:
                parsed(command)
        except UserError as error:
            wrong[command] = error.what
    assert wrong == {}


def test_a_wrong_command_is_found():
    assert list(commands("`adu-bench run --sede 1`\n```bash\nadu-bench nothing\n```\n")) == [
        "adu-bench nothing",
        "adu-bench run --sede 1",
    ]
    for command in ("adu-bench run --sede 1", "adu-bench nothing"):
        with pytest.raises(UserError):
            parsed(command)


def test_readme_is_short():
    assert len(text_of("README.md").split()) <= 1250


def test_the_first_method_passes_all_checks(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", text_of("docs/first_method.md"), re.DOTALL)
    (tmp_path / "blur.py").write_text(code)
    (choice,) = Catalogue([tmp_path]).select(["blur"])
    assert {name: reason for name, reason in run_checks(choice) if reason} == {}


def test_the_groups_of_methods_are_named():
    words = re.findall(r"`([\w-]+)`", text_of("docs/first_method.md").split("choose it\n", 1)[1].split(".", 1)[0])
    assert words == list(GROUPS)


def test_every_command_is_in_the_table_and_no_other():
    assert set(re.findall(r"^\| `adu-bench (\w+)", text_of("docs/commands.md"), re.MULTILINE)) == set(COMMANDS)


@pytest.fixture(scope="module")
def mini():
    """The committed board of ``emoji-mini``."""
    return committed_board(rows_dir(), "emoji-mini", Catalogue())


def test_the_board_of_readme_is_that_of_the_committed_runs_of_seed_1(mini):
    runs = mini.frame[mini.frame["seed"] == 1].groupby(["method", "metric"])["value"].mean().unstack()
    runs["both"] = 2 * runs["mem"] * runs["for"] / (runs["mem"] + runs["for"])
    (shown,) = re.findall(r"```text\n(emoji-mini: 4 tasks x 1 seed.*?)```", text_of("README.md"), re.DOTALL)
    lines = re.findall(r"^ (?:\d+|ref) +(\S+) +(.*)$", shown, re.MULTILINE)
    assert len(lines) == 13
    values = [float(values.split()[2]) for _, values in lines]
    assert values == sorted(values[:6], reverse=True) + sorted(values[6:], reverse=True)
    for method, values in lines:
        own = runs.loc[method]
        names = ("mem", "for", "h", "both", "normalised_forgetting")
        assert values.split()[:5] == [f"{100 * own[name]:.1f}" for name in names], method


def test_the_bundle_that_is_verified_has_the_committed_numbers(mini):
    (row,) = (row for row in mini.rows if row.method == "baseline")
    mem, for_, h, both = (f"{100 * row[key]:.2f}" for key in ("mem", "for", "h_mean", "h_of_means"))
    text = text_of("docs/submitting.md")
    assert f"Claimed: Mem {mem}, For {for_}, mean of H {h}, H of means {both}." in text
    for name, value in (("Mem", mem), ("For", for_), ("mean of H", h), ("H of means", both)):
        assert re.search(rf"^ +{name} +{value} +{value} +0\.00$", text, re.MULTILINE), name


def test_the_comparison_is_what_the_command_prints(capsys):
    text = text_of("docs/reading.md")
    (shown,) = re.findall(r"```text\n(emoji: adu minus.*?)```", text, re.DOTALL)
    assert "adu-bench compare adu baseline --suite emoji\n" in text
    assert main(["compare", "adu", "baseline", "--suite", "emoji"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for part in re.split(r"\[task by task.*?\]", shown):
        assert " ".join(part.split()) in printed


@pytest.mark.parametrize("page", PAGES)
def test_local_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)\)", text_of(page)):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_tables_have_heads_and_as_many_cells_in_each_row(page):
    """An empty line within a table makes its second half a paragraph full of bars."""
    prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    for table in re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE):
        counts = {row.replace("\\|", "").count("|") for row in table.splitlines()}
        assert re.match(r".*\n\|[-:| ]+\|\n", table), table
        assert len(counts) == 1, table


@pytest.mark.parametrize("page", PAGES)
def test_no_placeholder_is_left(page):
    assert not re.findall(r"@[A-Z]+@", text_of(page))


def test_the_version_is_the_same_everywhere():
    found = {
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
        yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"],
        re.search(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)[1],
    }
    assert found == {adu_bench.__version__}


def test_the_page_of_methods_is_current():
    """Otherwise `python -m adu_bench.report.methods_page` is due."""
    written = text_of("docs/methods.md")
    assert written == Page(ROOT).text()
    sections = re.findall(r"^### (.+)$", written, re.MULTILINE)
    assert sorted(sections) == sorted({entry.name for _, entry in Catalogue().presets.values()})
