"""Forgetting against retaining: every method as a point, curves of equal H, and the Pareto front of ranked methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from adu_bench.leaderboard.board import Board
from adu_bench.report.figures.common import block, complete, plane_with_legend, ranked
from adu_bench.report.printing import name_of, points
from adu_bench.report.style import INK, QUIET, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Values of H for which a curve is drawn."""


def tradeoff(board: Board) -> Figure:
    """Draw Mem over For, both in per cent, for methods whose block is complete."""
    rows = complete(board)
    figure, axes = plane_with_legend(rows)
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="For: error rate on forget domains, %")
    axes.set_ylabel("Mem: accuracy on retain domains, %")
    _equal_h(axes)
    front = pareto([(row["for"], row["mem"]) for row in ranked(board)])
    if len(front) > 1:
        x, y = (100 * np.array(values) for values in zip(*front, strict=True))
        axes.step(x, y, where="pre", color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=2)
    for row in reversed(rows):
        axes.plot(100 * row["for"], 100 * row["mem"], zorder=3, **look(row.method, row.group).points())
    return figure


def caption(board: Board) -> str:
    """Return the caption."""
    rows = ranked(board)
    best = pareto([(row["for"], row["mem"]) for row in rows])
    front = [name_of(row.method) for row in rows if (row["for"], row["mem"]) in best]
    text = "The upper right corner is ideal. Grey curves: equal H of the two means (per cent). "
    if len(front) > 1:
        text += f"Dashed: Pareto front of the ranked methods ({', '.join(front)}). "
    elif front and len(rows) > 1:
        text += f"{front[0]} is ahead of every other ranked method on both axes. "
    return text + f"Hollow grey: references, never ranked. {block(board)}"


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the Pareto front of some points, by increasing first number.

    Parameters
    ----------
    points
        Pairs of which both numbers are better the larger they are.
    """
    front: list[tuple[float, float]] = []
    for point in sorted(set(points), reverse=True):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front[::-1]


def _equal_h(axes: Axes) -> None:
    """Draw curves of equal H; each is labelled where it leaves the axes at the top."""
    for value in CURVES:
        # For a given H, Mem = 1 where For = H / (2 - H).
        forgotten = np.linspace(value / (2 - value), 1, 100)
        axes.plot(100 * forgotten, 100 * value * forgotten / (2 * forgotten - value), color="0.85", linewidth=0.7)
        axes.annotate(
            f"{100 * value:.0f}",
            (100 * value / (2 - value), 100),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=points(6),
            color=QUIET,
            annotation_clip=False,
        )
    axes.annotate(
        "H",
        (0, 100),
        xytext=(3, 2),
        textcoords="offset points",
        ha="left",
        va="bottom",
        fontsize=points(6),
        color=QUIET,
        annotation_clip=False,
    )
