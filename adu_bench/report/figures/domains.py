"""Accuracy by domain before and after: what each forget set leaves of every domain, one panel per method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from adu_bench.core.specs import forget_name
from adu_bench.leaderboard.board import Board
from adu_bench.report.figures.common import block, listed, ranked
from adu_bench.report.printing import across, in_order, name_of, page_width, points, scale
from adu_bench.report.style import INK, SEQUENTIAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 2.3
"""Least width of a panel in inches."""
ROWS = 2
"""Largest number of rows of panels."""
BEFORE = "before"


def accuracies(board: Board, metric: str = "accuracy") -> pd.DataFrame:
    """Return accuracy by domain: one row per method and task, one column per domain; fractions, averaged over seeds."""
    own = board.frame[board.frame["metric"].str.startswith(f"{metric}:")]
    domain = own["metric"].str.removeprefix(f"{metric}:")
    return own.assign(domain=domain).pivot_table(index=["method", "task"], columns="domain", values="value")


def before_and_after(board: Board, domains: Sequence[str]) -> Figure:
    """Draw accuracy in per cent: zero-shot CLIP in the first row, then one row per forget set; columns are domains.

    The best ranked methods are shown, in two rows of panels.

    Parameters
    ----------
    board
        The board; it must have zero-shot runs.
    domains
        In the suite's order.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    before, after = accuracies(board, "accuracy_before"), accuracies(board)
    methods = shown(board)
    columns = min(across(PANEL), len(methods))
    down = -(-len(methods) // columns)
    height = scale() * (0.62 + 0.17 * (len(board.tasks) + 1))
    figure = Figure(figsize=(page_width(), down * height), layout="constrained")
    # Without a canvas that can draw, seaborn would ask pyplot for one, and open a figure there.
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, columns, squeeze=False, sharey=True).ravel()
    for axes, method in zip(grid, methods, strict=False):
        # Zero-shot answers do not depend on what is to be forgotten.
        first = before.loc[method].mean()[list(domains)].to_numpy()
        rest = after.loc[method].reindex(index=list(board.tasks), columns=list(domains)).to_numpy()
        _panel(axes, method, 100 * np.vstack([first, rest]), [board.forget[task] for task in board.tasks], domains)
    for axes in grid[len(methods) :]:
        axes.set_visible(False)
    return figure


def shown(board: Board) -> list[str]:
    """Return the methods that are shown: the best ranked ones, in two rows of panels."""
    return [row.method for row in in_order(ranked(board))][: ROWS * across(PANEL)]


def caption(board: Board) -> str:
    """Return the caption."""
    drawn = shown(board)
    left_out = [name_of(row.method) for row in ranked(board) if row.method not in drawn]
    rest = f"Not shown: {listed(left_out)}. " if left_out else ""
    return (
        "Accuracy by domain (columns), per cent. First row: zero-shot CLIP, before; other rows: after forgetting the "
        "domains on the left, which are framed. A drop is wanted inside the frames and is damage outside. "
        + rest
        + block(board)
    )


def _panel(axes: Axes, title: str, values: np.ndarray, forget: Sequence[Sequence[str]], domains: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle
    from seaborn import heatmap

    heatmap(
        values,
        ax=axes,
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=100,
        cbar=False,
        annot=True,
        fmt=".0f",
        annot_kws={"fontsize": points(6.5)},
        linewidths=0.8,
        linecolor="white",
        xticklabels=False,
        yticklabels=False,
    )
    # Between before and after.
    axes.axhline(1, color="white", linewidth=4)
    for place, gone in enumerate(forget, start=1):
        for column, domain in enumerate(domains):
            if domain in gone:
                axes.add_patch(
                    Rectangle((column + 0.06, place + 0.14), 0.88, 0.76, fill=False, edgecolor=INK, zorder=3)
                )
    axes.set_title(name_of(title))
    axes.set_xticks([column + 0.5 for column in range(len(domains))], domains)
    axes.set_yticks(
        [place + 0.5 for place in range(len(values))], [BEFORE, *(forget_name(gone, " + ") for gone in forget)]
    )
    axes.tick_params(length=0, labelsize=points(6.5))
