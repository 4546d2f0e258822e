"""Average ranks with Nemenyi's critical difference (Demsar 2006): which methods cannot be told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adu_bench.report.board import Board
from adu_bench.report.figures.common import block, chance, counted, listed, ranked
from adu_bench.report.style import INK, QUIET, TWO_COLUMNS, look
from adu_bench.stats.estimates import LEVEL
from adu_bench.stats.ranks import Ranking, rank
from adu_bench.stats.scores import forget_sets, scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def ranking(board: Board) -> Ranking:
    """Rank the ranked methods of a board by H within tasks that share no forget domain."""
    methods = [row.method for row in ranked(board)]
    return rank(scores(board.frame, forget_sets(board.runs), "h", methods))


def ranks(board: Board, found: Ranking) -> Figure:
    """Draw average ranks; a bar joins methods that Nemenyi's test does not tell apart."""
    from matplotlib.figure import Figure
    from matplotlib.transforms import offset_copy
    from scikit_posthocs import critical_difference_diagram

    figure = Figure(figsize=(0.75 * TWO_COLUMNS, 1), layout="constrained")
    axes = figure.subplots()
    drawn = critical_difference_diagram(
        found.ranks,
        found.nemenyi,
        alpha=LEVEL,
        ax=axes,
        label_fmt_left="{label}",
        label_fmt_right="{label}",
        # Methods may share a rank, so they are told apart where the elbows end: lines are grey, markers drawn below.
        marker_props={"alpha": 0},
        elbow_props={"color": QUIET, "linewidth": 0.7},
        crossbar_props={"color": INK, "linewidth": 2.2, "solid_capstyle": "butt", "solid_joinstyle": "bevel"},
        text_h_margin=0.03 * len(found.methods),
    )
    groups = {row.method: row.group for row in board.rows}
    for label in drawn["labels"]:
        method, right = label.get_text(), label.get_horizontalalignment() == "left"
        axes.plot(*label.get_position(), zorder=4, clip_on=False, **look(method, groups[method]).points())
        place = f"{found.ranks[method]:.2f}"
        label.set(text=f"{place}  {method}" if right else f"{method}  {place}", color=INK)
        label.set_transform(offset_copy(axes.transData, figure, x=5 if right else -5, units="points"))
    axes.spines["top"].set(visible=True, bounds=(1, len(found.methods)))
    _ruler(axes, found.critical_difference)
    axes.set_xticks(range(1, len(found.methods) + 1))
    bottom, _ = axes.get_ylim()
    axes.set_ylim(bottom, _RULER + 1)
    figure.set_figheight(LINE * (_RULER + 1.5 - bottom))
    return figure


LINE = 0.165
"""Inches from a name to the next."""
_RULER = 1.7
"""How many lines above the axis the critical difference is drawn."""


def _ruler(axes: Axes, difference: float) -> None:
    """Draw the critical difference to the scale of the axis."""
    axes.plot([1, 1 + difference], [_RULER] * 2, color=INK, linewidth=0.9, marker="|")
    axes.text(1, _RULER + 0.35, f"critical difference {difference:.2f}", va="bottom", fontsize=6.5)


def caption(board: Board, found: Ranking) -> str:
    """Say what was tested, on what, and whether so few blocks can show anything."""
    methods, needed = len(found.methods), found.critical_difference
    others = "; others are no independent blocks" if len(found.blocks) < len(board.tasks) else ""
    pairs = methods * (methods - 1) // 2
    apart = int((found.nemenyi.to_numpy() < LEVEL).sum()) // 2
    shown = "so it can show nothing here" if needed > methods - 1 else f"and it tells {apart} of {pairs} pairs apart"
    return (
        f"Average rank by H (1 is best) of {methods} ranked methods over the {counted(len(found.blocks), 'task')} that "
        f"share no forget domain ({listed(found.blocks)}){others}. Friedman's test by shuffling within blocks: "
        f"{found.friedman:.1f}, {chance(found.p)}. A bar joins methods that Nemenyi's test does not tell apart at the "
        f"{100 * LEVEL:g} % level: average ranks must differ by {needed:.2f} where {methods - 1} is the most they can, "
        f"{shown}. {block(board)}"
    )
