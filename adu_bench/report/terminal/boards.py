"""Boards, the paper beside them, and studies on the terminal."""

from __future__ import annotations

from itertools import groupby

import pandas as pd
from rich.console import Console

from adu_bench.core.words import counted
from adu_bench.leaderboard.board import Board
from adu_bench.leaderboard.published import has_paper
from adu_bench.metrics.measures import METRICS
from adu_bench.report.tables.board import INTERVALS, absent_text, board_table
from adu_bench.report.tables.forgetting import ABOUT, TITLE, forgetting_table
from adu_bench.report.tables.paper import WORDS, paper_legend, paper_table
from adu_bench.report.tables.table import Cell, Table, terminal

WIDE = 120
"""Terminals of this many columns show all metrics; narrower ones show fewer, so that 80 columns suffice."""
AUDITS_WIDE = 150
"""The same for what audits say."""


def print_board(board: Board, console: Console) -> None:
    """Print a board as a table with its notes, the paper beside it, and its part."""
    wide = console.width >= WIDE
    table = board_table(board, priority=3 if wide else 2)
    size = f"{counted(len(board.tasks), 'task')} x {counted(len(board.seeds), 'seed')}"
    title = f"{board.suite}: {size}, per cent"
    print_table(console, table, title, bright=int(any(row.rank for row in board.rows)))
    if wide and any(row["letters"] for row in board.rows):
        say(console, INTERVALS)
    for text in (*(f"{note}." for note in table.notes), absent_text(board)):
        if text:
            say(console, text)
    if board.forgetting is not None:
        print_forgetting(board, console)
    if has_paper(board):
        print_paper(board, console)
    if board.part is not None:
        print_board(board.part, console)


def print_forgetting(board: Board, console: Console) -> None:
    """Print what audits say; a terminal that is not wide shows the answer and the depth only."""
    table = forgetting_table(board, narrow=console.width < AUDITS_WIDE)
    print_table(console, table, TITLE, bright=int(any(row.rank for row in board.rows)))
    for text in (ABOUT, *(f"{note}." for note in table.notes)):
        say(console, text)


def print_paper(board: Board, console: Console) -> None:
    """Print the paper's numbers beside the board's; a narrow terminal leaves out all differences but those of H."""
    table = paper_table(board)
    places = list(range(len(table.columns)))
    if console.width < WIDE:
        places = [place for place in places if place != 1 and place not in (WORDS + 2, WORDS + 5)]
    print_table(console, table.only(places), "The paper beside it, per cent")
    say(console, paper_legend(board))


def print_curves(points: pd.DataFrame, console: Console) -> None:
    """Print the points of a study, see `adu_bench.leaderboard.curves`, by method and variable."""
    metrics = [METRICS[key] for key in ("mem", "for", "h_mean", "h_of_means")]

    def cells(row: dict) -> tuple[Cell, ...]:
        runs = str(row["runs"]) if row["runs"] == row["planned"] else f"{row['runs']} of {row['planned']}"
        numbers = [metric.text(row[metric.key]) for metric in metrics]
        return tuple(map(Cell, (row["method"], row["variable"], str(row["value"]), *numbers, runs)))

    # Points without a variable are single methods, and need no rule between them.
    curves = groupby(
        points.to_dict("records"), key=lambda row: (row["method"] if row["variable"] else "", row["variable"])
    )
    table = Table(
        columns=("method", "variable", "value", *(metric.title for metric in metrics), "runs"),
        parts=tuple(tuple(map(cells, rows)) for _, rows in curves),
        align="ll" + "r" * (len(metrics) + 2),
    )
    print_table(console, table, "Per cent")


def print_table(console: Console, table: Table, title: str = "", bright: int | None = None) -> None:
    """Print a table below its title; ``bright`` is that of `adu_bench.report.tables.table.terminal`."""
    if title:
        say(console, title, style="italic")
    console.print(terminal(table, bright))


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print a text as it is, without markup or highlighting."""
    console.print(text, style=style, highlight=False, markup=False)
