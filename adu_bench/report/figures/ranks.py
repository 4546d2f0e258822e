"""Average ranks, and which methods cannot be told apart: a critical-difference diagram (Demsar 2006)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adu_bench.leaderboard.board import Board
from adu_bench.report.figures.common import block, ranked, scores_of
from adu_bench.report.style import INK, QUIET, TWO_COLUMNS, look
from adu_bench.stats.estimates import LEVEL
from adu_bench.stats.ranks import Ranking, rank, rank_tests

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ranking(board: Board) -> Ranking:
    """Rank the ranked methods of a board by H."""
    return rank(scores_of(board, ranked(board)))


def ranks(board: Board, found: Ranking) -> Figure:
    """Draw average ranks; a bar joins methods that the t over domains does not tell apart."""
    from matplotlib.figure import Figure
    from matplotlib.transforms import offset_copy
    from scikit_posthocs import critical_difference_diagram

    figure = Figure(figsize=(0.75 * TWO_COLUMNS, 1), layout="constrained")
    axes = figure.subplots()
    drawn = critical_difference_diagram(
        found.ranks,
        found.pairs,
        alpha=LEVEL,
        ax=axes,
        label_fmt_left="{label}",
        label_fmt_right="{label}",
        # Methods may share a rank, so markers are drawn below, where the elbows end; lines are grey.
        marker_props={"alpha": 0},
        elbow_props={"color": QUIET, "linewidth": 0.7},
        crossbar_props={"color": INK, "linewidth": 2.2, "solid_capstyle": "butt", "solid_joinstyle": "bevel"},
        text_h_margin=0.03 * len(found.methods),
    )
    for (bar,) in drawn["crossbars"]:
        # The bar's points come in the order of a set, which differs between processes.
        x = bar.get_xdata()
        bar.set_data([min(x), max(x)], bar.get_ydata()[:2])
    groups = {row.method: row.group for row in board.rows}
    for label in drawn["labels"]:
        method, right = label.get_text(), label.get_horizontalalignment() == "left"
        axes.plot(*label.get_position(), zorder=4, clip_on=False, **look(method, groups[method]).points())
        place = f"{found.ranks[method]:.2f}"
        label.set(text=f"{place}  {method}" if right else f"{method}  {place}", color=INK)
        label.set_transform(offset_copy(axes.transData, figure, x=5 if right else -5, units="points"))
    axes.spines["top"].set(visible=True, bounds=(1, len(found.methods)))
    axes.set_xticks(range(1, len(found.methods) + 1))
    bottom, _ = axes.get_ylim()
    axes.set_ylim(bottom, 1)
    figure.set_figheight(LINE * (1.5 - bottom))
    return figure


LINE = 0.165
"""Inches from a name to the next."""


def caption(board: Board, found: Ranking) -> str:
    """Return the caption: what was tested, and what the rank tests find and how reliable they are."""
    methods = len(found.methods)
    apart = int((found.pairs.to_numpy() < LEVEL).sum()) // 2
    return (
        f"Average rank by H (1 is best) of {methods} ranked methods. A bar joins methods that the t over domains does "
        f"not tell apart (Holm, {100 * LEVEL:g} %); it tells {apart} of {methods * (methods - 1) // 2} pairs apart. "
        f"{' '.join(filter(None, [board.caveat, rank_tests(found), block(board)]))}"
    )
