"""Boards and comparisons as values of a notebook: data frames, HTML, and text in every format."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pandas as pd

from adu_bench.core.errors import unknown
from adu_bench.leaderboard.board import Board
from adu_bench.report.notebook import table_html
from adu_bench.report.tables.board import FORMATS, board_table, records
from adu_bench.report.tables.table import Cell, Table
from adu_bench.report.terminal.comparison import WIDTH, comparison_record, print_comparison, verdict
from adu_bench.stats.paired import Comparison


@dataclass(frozen=True, repr=False)
class Leaderboard:
    """A leaderboard; a notebook shows it as a table.

    Parameters
    ----------
    board
        The board.
    """

    board: Board

    @property
    def frame(self) -> pd.DataFrame:
        """One row per method, with all metrics that boards have; fractions are 0..1."""
        return pd.DataFrame(records(self.board))

    def text(self, kind: str = "md") -> str:
        """Return the board as ``md``, ``csv``, ``json`` or ``tex``."""
        if kind not in FORMATS:
            raise unknown("format", kind, FORMATS)
        return FORMATS[kind](self.board)

    def __repr__(self) -> str:
        return _printed(lambda console: _print_board(self.board, console))

    def _repr_html_(self) -> str:
        return table_html(board_table(self.board), self.board.title)


@dataclass(frozen=True, repr=False)
class Compared:
    """A comparison of two methods; a notebook shows it as a table.

    Parameters
    ----------
    comparison
        The comparison; differences are fractions.
    """

    comparison: Comparison

    @property
    def frame(self) -> pd.DataFrame:
        """The differences on the suite's tasks, one row per metric and size of the forget set; fractions."""
        return pd.DataFrame(comparison_record(self.comparison)["differences"])

    @property
    def by_task(self) -> pd.DataFrame:
        """The differences of each task; fractions."""
        return self.comparison.by_task

    @property
    def verdict(self) -> str:
        """What the difference of H shows on these tasks, in a sentence."""
        return verdict(self.comparison)

    def __repr__(self) -> str:
        return _printed(lambda console: print_comparison(self.comparison, console))

    def _repr_html_(self) -> str:
        frame, found = self.frame, self.comparison
        texts = frame.map(lambda value: "" if value is None else f"{value:.4g}" if isinstance(value, float) else value)
        rows = tuple(tuple(Cell(str(text)) for text in row) for row in texts.itertuples(index=False))
        table = Table(tuple(frame.columns), (rows,), "l" + "r" * (len(frame.columns) - 1), notes=(self.verdict[:-1],))
        return table_html(table, f"{found.suite}: {found.a} minus {found.b}, fractions")


def _print_board(board: Board, console: object) -> None:
    from adu_bench.report.terminal.boards import print_board

    print_board(board, console)  # type: ignore[arg-type]


def _printed(show: object) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    show(console)  # type: ignore[operator]
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined]
