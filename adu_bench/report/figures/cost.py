"""Cost against quality: mean of H over training time and over the number of trained parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from adu_bench.leaderboard.board import Board, Row
from adu_bench.report.figures.common import axes_with_legend, block, complete, narrow
from adu_bench.report.printing import TWO_COLUMNS, points
from adu_bench.report.style import FAINT, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST = {"seconds": 0.05, "trainable_parameters": 0.5}
"""A cost below this counts as none: noise of the clock, and not a single parameter."""
TITLES = {"seconds": "training time, s", "trainable_parameters": "trained parameters"}


def cost(board: Board) -> Figure:
    """Draw two panels with logarithmic costs; methods without cost are in a band on the left."""
    rows = complete(board)
    figure, (left, right) = axes_with_legend(rows, TWO_COLUMNS, 3.1 if not narrow() else 2.2, panels=2, share=0.5)
    right.sharey(left)
    if narrow():
        right.set_ylabel("mean of H, %")
    else:
        right.tick_params(labelleft=False)
    for axes, field in ((left, "seconds"), (right, "trainable_parameters")):
        _panel(axes, rows, field)
    left.set_ylabel("mean of H, %")
    return figure


def caption(board: Board) -> str:
    """Return the caption."""
    return (
        "Left: wall-clock time of training, on the machine named in the runs; right: parameters that training changes. "
        f"The hatched band holds methods that train nothing. {block(board)}"
    )


def _panel(axes: Axes, rows: Sequence[Row], field: str) -> None:
    costs = [float(row[field] or 0) for row in rows]
    spent = [value for value in costs if value > LEAST[field]] or [1.0]
    low, high = min(spent) / 2, max(spent) * 2
    none = low / 2 if len(spent) < len(costs) else low
    axes.set(xscale="log", xlim=(none / 2, high), xlabel=TITLES[field])
    axes.xaxis.set_major_formatter(lambda value, _place: f"{value:,g}" if value < 1e6 else f"{value / 1e6:,g} M")
    axes.grid(axis="y", color=FAINT)
    if none < low:
        axes.axvspan(none / 2, low, facecolor="none", edgecolor=FAINT, hatch="////", linewidth=0)
        axes.text(
            none, 1.01, "none", transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=points(6)
        )
    for row, value in zip(rows, costs, strict=True):
        spot = value if value > LEAST[field] else none
        axes.plot(spot, 100 * (row["h_mean"] or 0), zorder=3, **look(row.method, row.group).points())
