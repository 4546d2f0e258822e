"""Tables of a report: made once as text, then written as LaTeX or CSV, shown on a page, or drawn as a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adu_bench.leaderboard.board import Board, Row, by_size
from adu_bench.report.escape import spreadsheet_text, tex_text
from adu_bench.report.figures.common import MINUS, block, complete, ends, percent, ranked
from adu_bench.report.style import INK, TWO_COLUMNS
from adu_bench.stats.estimates import Estimate, over_domains
from adu_bench.stats.scores import scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONVENTIONS = {"h_mean": "mean of H", "h_of_means": "H of means"}
"""The two ways to average H, and what they are called."""


@dataclass(frozen=True)
class Cell:
    """Text of a table, bold where it is the best of its column."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Parameters
    ----------
    groups
        Headings over several columns as (text, number of columns), left to right; they cover all columns.
    columns
        Headings of the columns.
    parts
        Rows of cells, in parts between which a rule is drawn.
    words
        How many of the first columns hold words; the others hold numbers.
    """

    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    parts: tuple[tuple[tuple[Cell, ...], ...], ...]
    words: int = 1

    @property
    def grouped(self) -> bool:
        """Whether there is a heading over several columns."""
        return any(text for text, _ in self.groups)


def main_table(board: Board, convention: str = "h_mean") -> Table:
    """Return the paper's main table: H, Mem and For of each method for each number of forgotten domains.

    Parameters
    ----------
    board
        The board; methods whose block is not complete are left out.
    convention
        Which H, see `CONVENTIONS`.
    """
    sizes = by_size(board)
    numbers = sorted(set(sizes["forget"]))
    found = {(row["method"], row["forget"]): row for row in sizes.to_dict("records")}
    names = [convention, "mem", "for"]
    tops = _tops(ranked(board), numbers, names, found)

    def cells(row: Row) -> tuple[Cell, ...]:
        values = [(size, name, found[row.method, size][name]) for size in numbers for name in names]
        return (
            Cell(row.method),
            *(Cell(percent(value), not row.reference and value == tops[size, name]) for size, name, value in values),
        )

    rows = complete(board)
    kinds = [[row for row in rows if not row.reference], [row for row in rows if row.reference]]
    return Table(
        groups=(("", 1), *((f"{size} forgotten", 3) for size in numbers)),
        columns=("method", *["H", "Mem", "For"] * len(numbers)),
        parts=tuple(tuple(cells(row) for row in kind) for kind in kinds if kind),
    )


def main_caption(board: Board, convention: str = "h_mean") -> str:
    """Say what the main table shows and what it rests on."""
    how = (
        "H is averaged over runs (mean of H)"
        if convention == "h_mean"
        else "H is the harmonic mean of the mean Mem and the mean For (H of means)"
    )
    counts = {size: part["task"].nunique() for size, part in board.frame.groupby("forget")}
    tasks = ", ".join(f"{count} with {size} forgotten" for size, count in counts.items())
    return (
        f"Per cent, by number of forgotten domains (tasks: {tasks}); {how}. Bold: best ranked method of the column. "
        f"Below the rule: references, never ranked. {block(board)}"
    )


def ablation_table(board: Board, whole: str, changes: Mapping[str, Estimate], summaries: Mapping[str, str]) -> Table:
    """Return the ablations of a method: what each changes, its means, and the change of H against the whole method.

    Parameters
    ----------
    board
        A board on which the method and its ablations are complete.
    whole
        The method.
    changes
        By ablation, see `ablation_changes`.
    summaries
        What each method changes, in words.
    """
    rows = [row for row in complete(board) if row.method in (whole, *changes)]
    rows.sort(key=lambda row: (row.method != whole, -(row.h_mean or 0)))
    best = max(row.h_mean or 0 for row in rows)

    def cells(row: Row) -> tuple[Cell, ...]:
        change = changes.get(row.method)
        return (
            Cell(row.method),
            Cell("the whole method" if row.method == whole else summaries.get(row.method, "").rstrip(".")),
            Cell(percent(row.h_mean), row.h_mean == best),
            Cell(percent(row.mem)),
            Cell(percent(row.for_)),
            Cell(percent(change.value, signed=True) if change else ""),
            Cell(ends(change.low, change.high, signed=True) if change else ""),
        )

    return Table(
        groups=(("", 2), ("", 3), ("change of H", 2)),
        columns=("method", "what is changed", "H", "Mem", "For", "mean", "95 % interval"),
        parts=(tuple(cells(row) for row in rows[:1]), tuple(cells(row) for row in rows[1:])),
        words=2,
    )


def ablation_changes(board: Board, whole: str, others: Sequence[str]) -> dict[str, Estimate]:
    """Return H of each ablation minus H of the whole method, as estimates for other domains.

    Parameters
    ----------
    board
        A board on which the method and its ablations are complete.
    whole, others
        The method and its ablations.
    """
    block = scores(board.frame, board.forget, "h", [whole, *others])
    own, *rest = block.by_task
    return {name: over_domains(values - own, block.forget) for name, values in zip(others, rest, strict=True)}


def ablation_caption(board: Board, whole: str, changes: Mapping[str, Estimate]) -> str:
    """Say what the ablation table shows and what it rests on."""
    found = next(iter(changes.values()))
    interval = (
        f"No intervals. {found.reason}"
        if found.reason
        else f"Its 95 % interval is for other domains (Student's t over domains, {found.df} degrees of freedom), not "
        f"corrected for the number of intervals. {board.caveat}".rstrip()
    )
    return (
        f"Per cent; H is the mean of H. Change: H minus that of {whole} on the same tasks and seeds, in points. "
        f"{interval} {block(board)}"
    )


def _tops(
    rows: Sequence[Row], numbers: Sequence[int], names: Sequence[str], found: Mapping[tuple[str, int], Mapping]
) -> dict[tuple[int, str], float]:
    """Return the best value of each column, where there are at least two rows to compare."""
    if len(rows) < 2:
        return {(size, name): float("inf") for size in numbers for name in names}
    return {
        (size, name): max(found[row.method, size][name] for row in rows if (row.method, size) in found)
        for size in numbers
        for name in names
    }


def latex(table: Table) -> str:
    """Return a table for LaTeX with booktabs."""
    lines = [
        "\\begin{tabular}{" + "l" * table.words + "r" * (len(table.columns) - table.words) + "}",
        "\\toprule",
    ]
    if table.grouped:
        heads, rules, start = [], [], 1
        for text, count in table.groups:
            heads.append(f"\\multicolumn{{{count}}}{{c}}{{{_tex(text)}}}" if text else "& " * (count - 1))
            if text:
                rules.append(f"\\cmidrule(lr){{{start}-{start + count - 1}}}")
            start += count
        lines += [" & ".join(heads).strip() + " \\\\", "".join(rules)]
    lines.append(" & ".join(map(_tex, table.columns)) + " \\\\")
    for part in table.parts:
        lines.append("\\midrule")
        for row in part:
            cells = [f"\\textbf{{{_tex(cell.text)}}}" if cell.bold else _tex(cell.text) for cell in row]
            lines.append(" & ".join(cells) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def comma_separated(table: Table) -> str:
    """Return a table as CSV with one line of headings; group headings stand before those of their columns."""
    heads = [text for text, count in table.groups for _ in range(count)]
    columns = [f"{head}: {column}" if head else column for head, column in zip(heads, table.columns, strict=True)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for part in table.parts:
        for row in part:
            words = [spreadsheet_text(cell.text) for cell in row[: table.words]]
            writer.writerow([*words, *(cell.text.replace(MINUS, "-") for cell in row[table.words :])])
    return text.getvalue()


def _tex(text: str) -> str:
    return tex_text(text).replace(MINUS, "$-$")


def drawn(table: Table) -> Figure:
    """Draw a table as papers print it: three rules, numbers flush right, no wider than a page's text."""
    from matplotlib.figure import Figure

    lefts, widths = _places(table)
    count = sum(len(part) for part in table.parts)
    height = LINE * (count + 1.4 + table.grouped + 0.2 * len(table.parts))
    width = lefts[-1] + widths[-1] + PAD
    scale = min(1.0, TWO_COLUMNS / width)
    figure = Figure(figsize=(scale * width, scale * height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()

    def rule(y: float, start: float, end: float, weight: float) -> None:
        axes.plot([start, end], [y, y], color=INK, linewidth=weight, solid_capstyle="butt")

    def write(y: float, column: int, cell: Cell) -> None:
        number = column >= table.words
        x = lefts[column] + (widths[column] if number else 0)
        weight = "bold" if cell.bold else "normal"
        side = "right" if number else "left"
        axes.text(x, y, cell.text, fontsize=scale * SIZE, fontweight=weight, ha=side, va="center")

    y = 0.2 * LINE
    rule(y, 0, width, 1.0)
    if table.grouped:
        column = 0
        for text, count in table.groups:
            if text:
                start, end = lefts[column], lefts[column + count - 1] + widths[column + count - 1]
                axes.text((start + end) / 2, y + 0.55 * LINE, text, fontsize=scale * SIZE, ha="center", va="center")
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


SIZE = 7.5
"""Points of a drawn table's text."""
LINE, GAP, GROUP_GAP, PAD = 0.165, 0.16, 0.3, 0.02
"""Inches: height of a line, space between columns, between groups of columns, and around."""


def _places(table: Table) -> tuple[list[float], list[float]]:
    """Return where each column starts and how wide it is, in inches."""
    lines = [tuple(map(Cell, table.columns)), *(row for part in table.parts for row in part)]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(table.columns))]
    starts = {sum(count for _, count in table.groups[:place]) for place in range(len(table.groups))}
    lefts, x = [], PAD
    for column, width in enumerate(widths):
        if column:
            x += GROUP_GAP if column in starts else GAP
        lefts.append(x)
        x += width
    return lefts, widths


def _width(cell: Cell) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(size=SIZE, weight="bold" if cell.bold else "normal")
    return TextPath((0, 0), cell.text, prop=font).get_extents().width / 72 if cell.text.strip() else 0.0
