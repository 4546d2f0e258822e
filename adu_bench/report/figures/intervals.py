"""Every method's mean of H with its interval, and its single tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adu_bench.leaderboard.board import Board
from adu_bench.metrics.measures import METRICS
from adu_bench.report.figures.common import block, complete, intervals_sentence
from adu_bench.report.printing import ONE_COLUMN, in_order, name_of, page_width, scale
from adu_bench.report.style import FAINT, QUIET, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def intervals(board: Board) -> Figure:
    """Draw one line per method, by default best first: a tick per task, the mean and its 95 % interval, in per cent."""
    from matplotlib.figure import Figure

    rows = sorted(in_order(complete(board)), key=lambda row: row.reference)
    # A column of a page is used whole.
    width = max(0.75 * page_width(), min(page_width(), ONE_COLUMN))
    figure = Figure(figsize=(width, scale() * (0.6 + 0.2 * len(rows))), layout="constrained")
    axes = figure.subplots()
    by_task = board.frame[board.frame["metric"] == "h"].groupby(["method", "task"])["value"].mean()
    for place, row in enumerate(rows):
        own = look(row.method, row.group)
        tasks = 100 * by_task[row.method].to_numpy()
        axes.plot(tasks, [place] * len(tasks), "|", color=own.colour, alpha=0.45, markersize=5, markeredgewidth=0.8)
        if row["h_interval"] is not None:
            axes.plot([100 * end for end in row["h_interval"]], [place, place], color=own.colour, linewidth=1.6)
        axes.plot(100 * row["h_mean"], place, zorder=3, **own.points())
        axes.text(
            1.01, place, METRICS["letters"].text(row["letters"]), transform=axes.get_yaxis_transform(), va="center"
        )
    references = sum(not row.reference for row in rows)
    if 0 < references < len(rows):
        axes.axhline(references - 0.5, color=QUIET, linewidth=0.5)
    axes.set_yticks(range(len(rows)), [name_of(row.method) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel="mean of H, %")
    axes.grid(axis="x", color=FAINT)
    axes.spines["left"].set_visible(False)
    return figure


def caption(board: Board) -> str:
    """Return the caption."""
    letters = "Methods that share a letter cannot be told apart." if any(row["letters"] for row in board.rows) else ""
    sentences = (
        "Points: mean of H; bars: its interval.",
        intervals_sentence(board),
        "Ticks: single tasks.",
        letters,
        "Below the line: references.",
        block(board),
    )
    return " ".join(filter(None, sentences))
