"""H against depth: how well a method answers, and how much of what it forgot an attack brings back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adu_bench.core.words import counted
from adu_bench.leaderboard.aspects import Standing
from adu_bench.leaderboard.board import Board, Row
from adu_bench.report.figures.common import block, complete, listed, plane_with_legend
from adu_bench.report.figures.tradeoff import pareto
from adu_bench.report.printing import name_of, points
from adu_bench.report.style import FAINT, INK, QUIET, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def depth(board: Board) -> Figure:
    """Draw the mean of H over depth, both in per cent, for methods of which both are known."""
    rows = shown(board)
    figure, axes = plane_with_legend(rows, head=0.1)
    axes.set(xlabel="depth: not brought back by any attack, %", ylabel="mean of H, %", ylim=(0, 100))
    places = {row.method: _point(board, row) for row in rows}
    drawn_from = [end for row in rows for end in (_ends(board, row) or places[row.method][:1])]
    axes.set_xlim(100 * min(0.0, *drawn_from) - 4, 100 * max(1.0, *drawn_from) + 4)
    axes.axvline(0, color=FAINT, linewidth=0.7, zorder=0)
    axes.axvline(100, color=FAINT, linewidth=0.7, zorder=0)
    front = pareto([places[row.method] for row in rows if not row.reference])
    if len(front) > 1:
        across, up = (100 * np.array(values) for values in zip(*front, strict=True))
        axes.step(across, up, where="pre", color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=2)
    for row in reversed(rows):
        x, high = places[row.method]
        ends = _ends(board, row)
        drawn = look(row.method, row.group)
        if ends is not None:
            axes.hlines(100 * high, 100 * ends[0], 100 * ends[1], color=drawn.colour, linewidth=0.8, zorder=2)
        axes.plot(100 * x, 100 * high, zorder=3, clip_on=False, **drawn.points())
        if _standing(board, row).beyond:
            place = (100 * x, 100 * high)
            axes.annotate("+", place, xytext=(4, 3), textcoords="offset points", fontsize=points(7), color=QUIET)
    return figure


def caption(board: Board) -> str:
    """Return the caption."""
    rows = shown(board)
    places = {name_of(row.method): _point(board, row) for row in rows}
    ranked = [name_of(row.method) for row in rows if not row.reference]
    best = pareto([places[name] for name in ranked])
    front = [name for name in ranked if places[name] in best]
    text = (
        "Depth is 1 minus the recovery of the strongest attack of the core audits: 0 where everything comes back, 100 "
        "where no attack is better than chance. The upper right corner is ideal. "
    )
    if len(front) > 1:
        text += f"Dashed: Pareto front of the ranked methods ({', '.join(front)}). "
    elif front and len(ranked) > 1:
        text += f"{front[0]} is ahead of every other ranked method on both axes. "
    text += "Hollow grey: references, never ranked; gates in front of an untouched CLIP are among them. "
    if any(_ends(board, row) is not None for row in rows):
        text += "Lines: 95 % intervals of depth over seeds (Student's t). "
    beyond = [name_of(row.method) for row in rows if _standing(board, row).beyond]
    if beyond:
        text += f"+: beyond never having known, which counts as 100 ({', '.join(beyond)}). "
    without = [name_of(row.method) for row in complete(board) if row not in rows]
    if without:
        text += f"Without a depth, since not audited on all tasks: {listed(without)}. "
    counts = sorted({len(_standing(board, row).seeds) for row in rows})
    seeds = listed([str(count) for count in counts])
    return text + f"Depth of {counted(len(rows), 'method')} over {seeds} seed{'s' * (counts != [1])}. {block(board)}"


def shown(board: Board) -> list[Row]:
    """Return the rows with a depth, in the order of the board."""
    found = board.forgetting
    return [row for row in board.rows if found is not None and found.of(row.method, "depth") is not None]


def _standing(board: Board, row: Row) -> Standing:
    found = board.forgetting.of(row.method, "depth") if board.forgetting is not None else None
    assert found is not None, f"{row.method} has no depth"
    return found


def _point(board: Board, row: Row) -> tuple[float, float]:
    return _standing(board, row).estimate.value, row["h_mean"] or 0.0


def _ends(board: Board, row: Row) -> tuple[float, float] | None:
    one = _standing(board, row).estimate
    return None if one.low is None or one.high is None else (one.low, one.high)
