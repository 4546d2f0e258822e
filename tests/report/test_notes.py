"""Footnotes belong to what a table shows, and ranges have one kind of dash."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from adu_bench.leaderboard.committed import committed_board
from adu_bench.leaderboard.rows import rows_dir
from adu_bench.registry import Catalogue
from adu_bench.report.tables.board import board_markdown, board_table
from adu_bench.report.tables.forgetting import forgetting_table
from adu_bench.report.tables.table import comma_separated, latex
from adu_bench.report.terminal.boards import print_board
from adu_bench.report.web.page import web_page

MARK = re.compile(r"\([a-z]\)")
HYPHEN = re.compile(r"\d\.\d-\d+\.\d")


@pytest.fixture(scope="module")
def board():
    return committed_board(rows_dir(), "emoji-mini", Catalogue())


def _tables(board):
    parts = [board, *([board.part] if board.part is not None else [])]
    for each in parts:
        yield from (board_table(each, priority) for priority in (1, 2, 3))
        if each.forgetting is not None:
            yield from (forgetting_table(each, narrow) for narrow in (False, True))


def test_each_footnote_is_referred_to_and_each_mark_is_explained(board):
    assert board.forgetting is not None
    for table in _tables(board):
        marks = {mark for row in table.rows for cell in row for mark in MARK.findall(cell.text)}
        assert marks == {note[:3] for note in table.notes if MARK.match(note)}
        named = [note.partition(" rests on ")[0] for note in table.notes if " rests on " in note]
        assert set(named) <= set(table.columns)


def test_ranges_have_one_kind_of_dash(board):
    console = Console(file=io.StringIO(), width=200)
    print_board(board, console)
    texts = [board_markdown(board), web_page([board], {}), console.file.getvalue()]
    for text in texts:
        assert re.search(r"\d\.\d\N{EN DASH}\d+\.\d", text)
        assert not HYPHEN.search(re.sub(r"<style.*?</style>|<script.*?</script>|<svg.*?</svg>", "", text, flags=re.S))
    assert re.search(r"\d\.\d--\d+\.\d", latex(board_table(board)))
    assert HYPHEN.search(comma_separated(board_table(board)))
