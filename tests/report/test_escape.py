"""Texts of strangers: a spreadsheet, LaTeX, Markdown or a browser shows them and does nothing else."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adu_bench.leaderboard.board import make_board
from adu_bench.report.escape import markdown_code, markdown_text, spreadsheet_text, tex_text
from adu_bench.report.tables.board import FORMATS
from adu_bench.store import Store
from tests.leaderboard.test_board import made_up_plan, planned, write_block

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
HOSTILE = (
    '=HYPERLINK("http://x","y")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "  =1+1",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a|b|c",
    "`x` | [link](javascript:alert(1))",
    "\\input{/etc/passwd}",
    "$\\write18{x}$ % & # _ ~ ^ { }",
    "two\nlines\r\n=1",
    '"; rm -rf /',
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two complete blocks, and the folder of their runs."""
    folder = tmp_path_factory.mktemp("runs")
    blocks = planned("one"), planned("two", "reference")
    for block in blocks:
        write_block(folder, block)
    return blocks, Store(folder).runs()


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_hostile_name_reason_and_title_reach_no_board_unescaped(runs, kind, text):
    (one, two), found = runs
    board = make_board(made_up_plan(one, two), found)
    rows = [replace(board.rows[0], method=text), replace(board.rows[1], method=f"x{text}", reason=text, rank=None)]
    shown = FORMATS[kind](replace(board, rows=tuple(rows), title=text))
    if kind == "csv":
        table = list(csv.DictReader(io.StringIO(shown)))
        assert len(table) == 2
        assert not any(str(cell).lstrip()[:1] in tuple("=+@") for row in table for cell in row.values())
        assert not any(re.match(r"-[^0-9.]|-\d+[^0-9.e]", str(cell)) for row in table for cell in row.values())
    if kind == "html":
        assert "<script>alert" not in shown
        assert "<img" not in shown
        assert 'href="javascript' not in shown
    if kind == "md":
        lines = [line for line in shown.splitlines() if line.startswith("|")]
        assert len(lines) == 4
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
        outside = re.sub(r"`[^`]*`", "", shown)
        assert not re.search(r"(?<!\\)<|(?<!\\)\]\(", outside)
    if kind == "tex":
        assert "\\input" not in shown
        assert "\\write18" not in shown


@settings(deadline=None)
@given(TEXTS)
def test_a_spreadsheet_never_sees_a_formula_and_other_texts_stay(text):
    safe = spreadsheet_text(text)
    assert not safe.lstrip().startswith(("=", "+", "-", "@"))
    assert safe in (text, f"'{text}")
    assert spreadsheet_text(-1.5) == -1.5


@settings(deadline=None)
@given(TEXTS)
def test_latex_sees_no_command_that_the_text_brought(text):
    shown = tex_text(text)
    bare = re.sub(r"\\textbackslash\{\}|\\textascii(tilde|circum)\{\}|\\text(less|greater)\{\}|\\[&%$#_{}]", "", shown)
    assert not re.search(r"[\\&%$#_{}~^<>\n]", bare)


@settings(deadline=None)
@given(TEXTS)
def test_markdown_cells_end_where_they_should(text):
    assert not re.search(r"(?<!\\)(\\\\)*[|<\[`*_]", re.sub(r"\\.", "", markdown_text(text)))
    code = markdown_code(text)
    assert code.count("`") == 2
    assert "\n" not in code
    assert not re.search(r"(?<!\\)\|", code)
