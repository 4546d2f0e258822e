"""Performance profiles (Dolan and More 2002): how many of a method's runs reach each H."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adu_bench.leaderboard.board import Board
from adu_bench.report.figures.common import axes_with_legend, block, ranked, scores_of
from adu_bench.report.printing import TWO_COLUMNS
from adu_bench.report.style import FAINT, look
from adu_bench.stats.descriptive import profile as shares_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def profile(board: Board) -> Figure:
    """Draw the share of runs over H, both in per cent, one line per ranked method."""
    rows = ranked(board)
    found = scores_of(board, rows)
    shares = shares_of(found, np.unique(found.values))
    figure, (axes,) = axes_with_legend(rows, 0.75 * TWO_COLUMNS, 2.6)
    for place, row in enumerate(rows):
        own, line = look(row.method, row.group), shares[row.method]
        # A line starts at the worst run, and falls to zero at the best run.
        worst, best = line[line == 1].index[-1], line[line > 0].index[-1]
        x, y = [*line[worst:best].index, best], [*line[worst:best], 0]
        axes.step(100 * np.array(x), 100 * np.array(y), where="pre", color=own.colour)
        # Markers are at different heights, so that none hides another.
        height = 1 - (place + 0.5) / len(rows)
        axes.plot(100 * line[line >= height].index[-1], 100 * height, zorder=3, **own.points())
    low, high = 100 * found.values.min(), 100 * found.values.max()
    edge = 0.04 * (high - low)
    axes.set(xlim=(low - edge, high + edge), ylim=(-2, 102), xlabel="H, %", ylabel="runs that reach it, %")
    axes.grid(axis="y", color=FAINT)
    return figure


def caption(board: Board) -> str:
    """Return the caption."""
    return (
        "Share of a ranked method's runs, over all tasks and seeds, that reach an H: the farther right, the better. "
        f"Markers identify the lines. Lines are not tested against each other. {block(board)}"
    )
