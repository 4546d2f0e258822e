"""Boards and comparisons as values of a notebook: data frames, HTML, and text in every format."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
from rich.console import Console

from adu_bench.core.errors import unknown
from adu_bench.leaderboard.board import Board
from adu_bench.report.notebook import table_html
from adu_bench.report.tables.board import FORMATS, board_table, records
from adu_bench.report.terminal.boards import print_board
from adu_bench.report.terminal.comparison import WIDTH, comparison_record, differences_table, print_comparison, verdict
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
        return _printed(partial(print_board, self.board))

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
        return _printed(partial(print_comparison, self.comparison))

    def _repr_html_(self) -> str:
        found, table = self.comparison, differences_table(self.comparison)
        table = replace(table, notes=(*table.notes, self.verdict.rstrip(".")))
        return table_html(table, f"{found.suite}: {found.a} minus {found.b}, percentage points")


def _printed(show: Callable[[Console], None]) -> str:
    text = io.StringIO()
    show(Console(file=text, width=WIDTH, color_system=None))
    return text.getvalue().rstrip()
