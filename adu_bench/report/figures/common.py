"""Shared by several figures and tables: the rows to show, sentences for captions, text for numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from adu_bench.core.words import counted
from adu_bench.leaderboard.board import Board, Row
from adu_bench.report.printing import TWO_COLUMNS, current, in_order, name_of, page_width, scale
from adu_bench.report.style import look
from adu_bench.report.tables.table import MINUS
from adu_bench.stats.scores import Scores, scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
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

    return [
        Line2D([], [], linestyle="none", label=name_of(row.method), **look(row.method, row.group).points())
        for row in in_order(list(rows))
    ]


def legend_panel(axes: Axes, rows: Sequence[Row], lines: int) -> None:
    """Turn axes into a legend: ranked methods by rank, and references below them, or beside them.

    Parameters
    ----------
    axes
        The axes.
    rows
        The methods.
    lines
        Lines for which there is room.
    """
    axes.set_axis_off()
    own, references = _parts(rows)
    if own:
        title = "ranked" if current().labels else "ranked, best H first"
        columns = 1 if narrow() else _columns(own, lines)
        drawn = axes.legend(handles=handles(own), title=title, loc="upper left", ncols=columns, **_FLUSH)
        if references:
            # The next legend takes the place of this one unless it is an artist of its own.
            axes.add_artist(drawn)
    if references:
        corner: dict[str, Any] = {"loc": "lower left" if stacked(rows, lines) else "upper right"}
        axes.legend(handles=handles(references), title="references", **_FLUSH, **corner)


def stacked(rows: Sequence[Row], lines: int) -> bool:
    """Return whether references stand below the ranked methods in a legend, in one column."""
    own, references = _parts(rows)
    return not narrow() and len(own) + len(references) + _TITLES <= lines


def legend_columns(rows: Sequence[Row], lines: int) -> int:
    """Return the columns of a legend beside its figure."""
    own, references = _parts(rows)
    return 1 if stacked(rows, lines) else _columns(own, lines) + bool(references)


def lines_in(inches: float) -> int:
    """Return how many lines of a legend fit into a height."""
    return int(inches / (_LINE * scale()))


def _parts(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the ranked methods and the references."""
    own, references = ([row for row in rows if row.reference is kind] for kind in (False, True))
    return own, references


def _columns(own: Sequence[Row], lines: int) -> int:
    return max(1, math.ceil(len(own) / max(1, lines - 1)))


_LINE = 0.155
"""Inches of a line of a legend, for text of the usual size."""
_COLUMN = 1.42
"""Inches of a column of a legend, for text of the usual size."""
_LONGEST = 24
"""Lines of a legend that figures are made higher for, at most."""
_TITLES = 3
"""Lines of two titles and of the space between two legends."""
_FLUSH: dict[str, Any] = {"borderaxespad": 0, "alignment": "left"}


def narrow() -> bool:
    """Return whether a legend has no room beside its figure: in one column of a page, or with large text."""
    return page_width() < _ROOMY * scale()


_ROOMY = 4.8
"""Inches that a figure with a legend beside it needs."""


def legend_height(rows: Sequence[Row]) -> float:
    """Return the height in inches of a legend below its figure."""
    return _LINE * scale() * (max(map(len, _parts(rows))) + 1.4)


def _across(rows: Sequence[Row], width: float) -> tuple[int, float]:
    """Return the lines and the height in inches of a legend in several columns below a figure."""
    own, references = map(len, _parts(rows))
    columns = max(2, int(width / (_COLUMN * scale()))) - bool(references)
    lines = max(math.ceil(own / columns), references) + 1
    return lines, _LINE * scale() * (lines + 0.4)


def plane_with_legend(rows: Sequence[Row], head: float = 0.2) -> tuple[Figure, Axes]:
    """Return a figure with square axes and a legend beside or below them, or with wide axes above a long legend.

    Positions are fixed: automatic layouts cut off labels around axes with a fixed aspect ratio.

    Parameters
    ----------
    rows
        The methods of the legend.
    head
        Inches above the axes, for text of the usual size.
    """
    from matplotlib.figure import Figure

    left, foot, top = 0.5 * scale(), 0.4 * scale(), head * scale()
    tall = 2.75 * page_width() / TWO_COLUMNS
    below = narrow()
    if below:
        lines, legend, right = len(rows), legend_height(rows), 0.14 * scale()
        wide = tall = min(page_width() - left - right, 3.2 * scale())
        width = left + wide + right
    elif stacked(rows, lines_in(tall)):
        lines, wide, width = lines_in(tall), tall, 0.7 * page_width()
        low, legend = foot, tall
    elif legend_columns(rows, lines_in(tall + foot + top)) == 2:
        lines = lines_in(tall + foot + top)
        beside = left + 0.28 + 2 * _COLUMN * scale()
        width = min(page_width(), beside + tall)
        wide = tall = width - beside
        low, legend = 0.02 * tall, tall + foot + top - 0.04 * tall
    else:
        below, width = True, page_width()
        wide = width - left - 0.14 * scale()
        lines, legend = _across(rows, width)
    if below:
        height = top + tall + foot + 0.1 + legend
        place = (0.05, 0.02, width - 0.1, legend)
    else:
        height = tall + foot + top
        start = left + wide + 0.2
        place = (start, low, width - start - 0.08, legend)
    figure = Figure(figsize=(width, height))
    axes, legend_axes = (
        figure.add_axes((x / width, y / height, w / width, h / height))
        for x, y, w, h in ((left, height - top - tall, wide, tall), place)
    )
    legend_panel(legend_axes, rows, lines)
    return figure, axes


def axes_with_legend(
    rows: Sequence[Row], width: float, height: float, panels: int = 1, share: float = 1 / 3
) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side and a legend beside them; in one column all stand below each other.

    Parameters
    ----------
    rows
        The methods of the legend.
    width, height
        Of the figure in inches, for text of the usual size and a page of two columns.
    panels
        Their number.
    share
        Width of the legend, as a multiple of a panel's.
    """
    from matplotlib.figure import Figure

    if narrow():
        below = legend_height(rows) + 0.2 * scale()
        figure = Figure(figsize=(page_width(), panels * height + below), layout="constrained")
        *axes, panel = figure.subplots(panels + 1, 1, height_ratios=(*[height] * panels, below))
        lines = len(rows)
    else:
        # A legend that is a little too long makes the figure higher, a longer one has two columns or stands below.
        width = width * page_width() / TWO_COLUMNS
        higher = max(height, _LINE * scale() * min(len(_parts(rows)[0]) + 2, _LONGEST))
        lines = lines_in(higher) - 1
        if stacked(rows, lines) or legend_columns(rows, lines) <= 2:
            figure = Figure(figsize=(width, higher), layout="constrained")
            if not stacked(rows, lines):
                needed = legend_columns(rows, lines) * _COLUMN * scale()
                share = max(share, panels * needed / max(figure.get_figwidth() - needed, needed))
            *axes, panel = figure.subplots(1, panels + 1, width_ratios=(*[1] * panels, share))
        else:
            lines, below = _across(rows, width)
            below += 0.2 * scale()
            figure = Figure(figsize=(width, height + below), layout="constrained")
            grid = figure.add_gridspec(2, panels, height_ratios=(height, below))
            axes = [figure.add_subplot(grid[0, place]) for place in range(panels)]
            panel = figure.add_subplot(grid[1, :])
    legend_panel(panel, rows, lines)
    return figure, axes
