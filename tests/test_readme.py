"""README.md is correct: its method passes the checks, its commands exist; links of all pages lead to files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adu_bench.cli.main import COMMANDS
from adu_bench.conformance import run_checks
from adu_bench.registry import Catalogue

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_method_in_twenty_lines_passes_all_checks(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "blur.py").write_text(code)
    (choice,) = Catalogue([tmp_path]).select(["blur"])
    assert {name: reason for name, reason in run_checks(choice) if reason} == {}


def test_every_command_is_in_the_table_and_no_other():
    named = set(re.findall(r"^\| `adu-bench (\w+)", TEXT, re.MULTILINE))
    assert named == set(COMMANDS)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in DOCS)])
def test_local_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target


def test_no_placeholder_is_left():
    assert not re.findall(r"@[A-Z]+@", TEXT)
