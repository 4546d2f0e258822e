"""Shared by several figures and tables: the rows to show, sentences for captions, text for numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from adu_bench.core.words import counted
from adu_bench.leaderboard.board import Board, Row
from adu_bench.report.style import look
from adu_bench.report.tables.table import MINUS
from adu_bench.stats.scores import Scores, scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


def complete(board: Board) -> list[Row]:
    """Return the rows whose block is complete, as on the board: ranked ones, then references."""
    return [row for row in board.rows if not row.reason and row["h_mean"] is not None]


def ranked(board: Board) -> list[Row]:
    """Return the ranked rows, best first."""
    return [row for row in board.rows if row.rank is not None]


def scores_of(board: Board, rows: Sequence[Row]) -> Scores:
    """Return H of some rows of a board."""
    return scores(board.frame, board.forget, "h", [row.method for row in rows])


def block(board: Board) -> str:
    """Return a sentence on what the means are over: tasks, seeds, and test images."""
    core = board.frame[board.frame["metric"] == "h"]
    images = sorted({int(count) for count in core["n"]})
    spread = f"{images[0]:,}" if len(images) == 1 else f"{images[0]:,} to {images[-1]:,}"
    seeds = ", ".join(str(seed) for seed in board.seeds)
    return (
        f"n = {counted(len(board.tasks), 'task')} x {counted(len(board.seeds), 'seed')} ({seeds}), seeds averaged "
        f"first; {spread} test images per run."
    )


def intervals_sentence(board: Board) -> str:
    """Return a sentence on what the intervals of means are for, or why there are none."""
    if any(row["h_interval"] is not None for row in board.rows):
        return "95 % intervals are for other few-shot draws and other test images, on these tasks."
    return "There are no intervals, because there are too few seeds."


def percent(value: float | None, signed: bool = False) -> str:
    """Return a fraction as per cent with one decimal; empty for None, without a sign for what rounds to nothing."""
    if value is None:
        return ""
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return text[1:] if text in ("-0.0", "+0.0") else text.replace("-", MINUS)


def ends(low: float | None, high: float | None, signed: bool = False) -> str:
    """Return the ends of an interval as per cent; empty where there is none."""
    return "" if low is None or high is None else f"{percent(low, signed)} to {percent(high, signed)}"


def listed(names: Sequence[str]) -> str:
    """Join names with commas and an ``and``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def handles(rows: Iterable[Row]) -> list[Line2D]:
    """Return legend entries for methods."""
    from matplotlib.lines import Line2D

    return [Line2D([], [], linestyle="none", label=row.method, **look(row.method, row.group).points()) for row in rows]


def legend_panel(axes: Axes, rows: Sequence[Row]) -> None:
    """Turn axes into a legend: ranked methods by rank, and references below."""
    axes.set_axis_off()
    own, references = ([row for row in rows if row.reference is kind] for kind in (False, True))
    if own:
        title = "ranked, best H first"
        axes.add_artist(axes.legend(handles=handles(own), title=title, loc="upper left", **_FLUSH))
    if references:
        axes.add_artist(axes.legend(handles=handles(references), title="references", loc="lower left", **_FLUSH))


_FLUSH: dict[str, Any] = {"borderaxespad": 0, "alignment": "left"}
