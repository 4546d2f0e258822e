"""Accuracy by domain before and after: what each forget set leaves of every domain, one panel per method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from adu_bench.core.specs import forget_name
from adu_bench.leaderboard.board import Board
from adu_bench.report.figures.common import block, ranked
from adu_bench.report.printing import across, in_order, name_of, page_width, points, scale
from adu_bench.report.style import INK, SEQUENTIAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 2.3
"""Least width of a panel in inches."""
BEFORE = "before"


def accuracies(board: Board, metric: str = "accuracy") -> pd.DataFrame:
    """Return accuracy by domain: one row per method and task, one column per domain; fractions, averaged over seeds."""
    own = board.frame[board.frame["metric"].str.startswith(f"{metric}:")]
    domain = own["metric"].str.removeprefix(f"{metric}:")
    return own.assign(domain=domain).pivot_table(index=["method", "task"], columns="domain", values="value")


def before_and_after(board: Board, domains: Sequence[str], limit: int = 6) -> Figure:
    """Draw accuracy in per cent: zero-shot CLIP in the first row, then one row per forget set; columns are domains.

    Parameters
    ----------
    board
        The board; it must have zero-shot runs.
    domains
        In the suite's order.
    limit
        Largest number of ranked methods to show.
    """
    from matplotlib.figure import Figure

    before, after = accuracies(board, "accuracy_before"), accuracies(board)
    methods = [row.method for row in in_order(ranked(board))][:limit]
    columns = min(across(PANEL), len(methods))
    down = -(-len(methods) // columns)
    height = scale() * (0.62 + 0.17 * (len(board.tasks) + 1))
    figure = Figure(figsize=(page_width(), down * height), layout="constrained")
    grid = figure.subplots(down, columns, squeeze=False, sharey=True).ravel()
    for axes, method in zip(grid, methods, strict=False):
        # Zero-shot answers do not depend on what is to be forgotten.
        first = before.loc[method].mean()[list(domains)].to_numpy()
        rest = after.loc[method].reindex(index=list(board.tasks), columns=list(domains)).to_numpy()
        _panel(axes, method, 100 * np.vstack([first, rest]), [board.forget[task] for task in board.tasks], domains)
    for axes in grid[len(methods) :]:
        axes.set_visible(False)
    return figure


def caption(board: Board) -> str:
    """Return the caption."""
    return (
        "Accuracy by domain (columns), per cent. First row: zero-shot CLIP, before; other rows: after forgetting the "
        "domains on the left, which are framed. A drop is wanted inside the frames and is damage outside. "
        + block(board)
    )


def _panel(axes: Axes, title: str, values: np.ndarray, forget: Sequence[Sequence[str]], domains: Sequence[str]) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    # A gap between before and after.
    rows = [0.0, *(1.3 + place for place in range(len(forget)))]
    for place, own in zip(rows, values, strict=True):
        axes.pcolormesh(
            np.arange(len(domains) + 1) - 0.5,
            [place - 0.5, place + 0.5],
            own[None],
            cmap=SEQUENTIAL,
            vmin=0,
            vmax=100,
            edgecolors="white",
            linewidth=0.8,
        )
        for column, value in enumerate(own):
            if not np.isnan(value):
                red, green, blue, _ = colormaps[SEQUENTIAL](value / 100)
                ink = INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
                axes.text(column, place, f"{value:.0f}", ha="center", va="center", fontsize=points(6.5), color=ink)
    for place, gone in zip(rows[1:], forget, strict=True):
        for column, domain in enumerate(domains):
            if domain in gone:
                axes.add_patch(
                    Rectangle((column - 0.45, place - 0.42), 0.9, 0.84, fill=False, edgecolor=INK, linewidth=0.9)
                )
    axes.set_title(name_of(title))
    axes.set_xticks(range(len(domains)), domains)
    axes.set_yticks(rows, [BEFORE, *(forget_name(gone, " + ") for gone in forget)])
    axes.set(xlim=(-0.5, len(domains) - 0.5), ylim=(rows[-1] + 0.5, -0.5))
    axes.tick_params(length=0, labelsize=points(6.5))
    for side in axes.spines.values():
        side.set_visible(False)
