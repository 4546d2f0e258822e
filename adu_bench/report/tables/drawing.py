"""A table drawn as a figure, as papers print it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adu_bench.report.printing import FONT_SIZE, page_width, scale, text_width
from adu_bench.report.style import INK
from adu_bench.report.tables.table import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE, GAP, GROUP_GAP, PAD = 0.165, 0.16, 0.3, 0.02
"""Inches: height of a line, space between columns, space between groups of columns, margin."""


def draw(table: Table) -> Figure:
    """Draw a table with three rules and numbers flush right, at most as wide as the text of a page."""
    from matplotlib.figure import Figure

    lefts, widths = _places(table)
    count = sum(len(part) for part in table.parts)
    height = LINE * (count + 1.4 + bool(table.groups) + 0.2 * len(table.parts))
    width = lefts[-1] + widths[-1] + PAD
    size = min(scale(), page_width() / width)
    figure = Figure(figsize=(size * width, size * height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()

    def rule(y: float, start: float, end: float, weight: float) -> None:
        axes.plot([start, end], [y, y], color=INK, linewidth=weight, solid_capstyle="butt")

    def write(y: float, column: int, cell: Cell) -> None:
        number = table.align[column] == "r"
        x = lefts[column] + (widths[column] if number else 0)
        weight = "bold" if cell.bold else "normal"
        side = "right" if number else "left"
        axes.text(x, y, cell.text, fontsize=size * FONT_SIZE, fontweight=weight, ha=side, va="center")

    y = 0.2 * LINE
    rule(y, 0, width, 1.0)
    if table.groups:
        column = 0
        for text, count in table.groups:
            if text:
                start, end = lefts[column], lefts[column + count - 1] + widths[column + count - 1]
                axes.text((start + end) / 2, y + 0.55 * LINE, text, fontsize=size * FONT_SIZE, ha="center", va="center")
                rule(y + LINE, start, end, 0.5)
            column += count
        y += LINE
    for column, text in enumerate(table.columns):
        write(y + 0.55 * LINE, column, Cell(text))
    y += LINE
    for part in table.parts:
        y += 0.1 * LINE
        rule(y, 0, width, 0.5)
        y += 0.1 * LINE
        for row in part:
            for column, cell in enumerate(row):
                write(y + 0.5 * LINE, column, cell)
            y += LINE
    rule(y + 0.1 * LINE, 0, width, 1.0)
    return figure


def _places(table: Table) -> tuple[list[float], list[float]]:
    """Return where each column starts and how wide it is, in inches."""
    lines = [tuple(map(Cell, table.columns)), *(row for part in table.parts for row in part)]
    widths = [
        max(text_width(line[column].text, line[column].bold) for line in lines) for column in range(len(table.columns))
    ]
    starts = {sum(count for _, count in table.groups[:place]) for place in range(len(table.groups))}
    lefts, x = [], PAD
    for column, width in enumerate(widths):
        if column:
            x += GROUP_GAP if column in starts else GAP
        lefts.append(x)
        x += width
    return lefts, widths
