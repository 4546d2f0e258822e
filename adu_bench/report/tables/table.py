"""A table as text, and its writers: Markdown, LaTeX, CSV and the terminal; records as CSV and JSON.

HTML pages loop over the same table in their templates, and `adu_bench.report.tables.drawing` draws it as a figure.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adu_bench.report.escape import markdown_code, markdown_text, spreadsheet_text, tex_text

if TYPE_CHECKING:
    from rich.table import Table as RichTable

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


@dataclass(frozen=True)
class Cell:
    """One cell: its text, whether it is bold, and whether it is a name, which Markdown shows as code."""

    text: str
    bold: bool = False
    name: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Parameters
    ----------
    columns
        Headings of the columns.
    parts
        Rows of cells, in parts that a rule separates.
    align
        One letter per column: ``l`` for words, ``r`` for numbers.
    groups
        Headings over several columns as (text, number of columns), left to right; they cover all columns, or there are
        none.
    notes
        Sentences below the table, without full stop.
    """

    columns: tuple[str, ...]
    parts: tuple[tuple[tuple[Cell, ...], ...], ...]
    align: str
    groups: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        """The rows of all parts."""
        return [row for part in self.parts for row in part]

    @property
    def headings(self) -> list[str]:
        """Headings of the columns on one line: the group's heading comes before the column's."""
        heads = [text for text, count in self.groups for _ in range(count)] or [""] * len(self.columns)
        return [f"{head}: {column}" if head else column for head, column in zip(heads, self.columns, strict=True)]

    def only(self, places: Sequence[int]) -> Table:
        """Return the table with some of its columns, by position; group headings join those of the columns."""
        names = self.headings
        parts = tuple(tuple(tuple(row[place] for place in places) for row in part) for part in self.parts)
        align = "".join(self.align[place] for place in places)
        return replace(self, columns=tuple(names[place] for place in places), parts=parts, align=align, groups=())


def markdown(table: Table) -> str:
    """Return a table as Markdown, its notes as a list below it."""
    lines = [
        _row(map(markdown_text, table.headings)),
        f"|{''.join({'l': '---|', 'r': '---:|'}[a] for a in table.align)}",
    ]
    for row in table.rows:
        texts = [markdown_code(cell.text) if cell.name else markdown_text(cell.text) for cell in row]
        lines.append(_row(f"**{text}**" if cell.bold else text for text, cell in zip(texts, row, strict=True)))
    notes = [f"- {markdown_text(note)}." for note in table.notes]
    return "\n".join([*lines, *[""] * bool(notes), *notes, ""])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def latex(table: Table) -> str:
    """Return a table for LaTeX with booktabs, its notes on a line below it."""
    lines = [f"\\begin{{tabular}}{{{table.align}}}", "\\toprule"]
    if table.groups:
        heads, rules, start = [], [], 1
        for text, count in table.groups:
            heads.append(f"\\multicolumn{{{count}}}{{c}}{{{_tex(text)}}}" if text else "& " * (count - 1))
            if text:
                rules.append(f"\\cmidrule(lr){{{start}-{start + count - 1}}}")
            start += count
        lines += [f"{' & '.join(heads)} \\\\", "".join(rules)]
    lines.append(" & ".join(map(_tex, table.columns)) + " \\\\")
    for part in table.parts:
        lines.append("\\midrule")
        for row in part:
            lines.append(" & ".join(f"\\textbf{{{_tex(cell.text)}}}" if cell.bold else _tex(cell.text) for cell in row))
            lines[-1] += " \\\\"
    notes = [f"\\\\[1ex] \\footnotesize {tex_text('; '.join(table.notes))}."] * bool(table.notes)
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", *notes, ""])


def _tex(text: str) -> str:
    return tex_text(text).replace(MINUS, "$-$").replace(DASH, "--")


def comma_separated(table: Table) -> str:
    """Return a table as CSV, with its texts as they are shown and one line of headings."""
    rows = [[cell.text.replace(MINUS, "-").replace(DASH, "-") for cell in row] for row in table.rows]
    # A number may start with a sign; a word that does must not become a formula.
    safe = [
        [spreadsheet_text(text) if side == "l" else text for text, side in zip(row, table.align, strict=True)]
        for row in rows
    ]
    return _csv([table.headings, *safe])


def records_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records with the same keys as CSV; None is empty, and no text can be taken for a formula."""
    if not records:
        return ""
    return _csv([list(records[0]), *([spreadsheet_text(value) for value in record.values()] for record in records)])


def records_json(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as a JSON list."""
    return json.dumps(list(records), indent=1) + "\n"


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def terminal(table: Table, bright: int | None = None) -> RichTable:
    """Return a table for rich.

    Parameters
    ----------
    table
        The table; its notes are not part of the result.
    bright
        The number of parts, from the first on, that are not dimmed; all if None.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table as RichTable

    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, side in zip(table.headings, table.align, strict=True):
        justify = "left" if side == "l" else "right"
        made.add_column(escape(heading), justify=justify, no_wrap=heading in ("method", "variable"))  # type: ignore[arg-type]
    for number, part in enumerate(table.parts):
        if number:
            made.add_section()
        for row in part:
            texts = [f"[bold]{escape(cell.text)}[/]" if cell.bold else escape(cell.text) for cell in row]
            made.add_row(*texts, style="dim" if bright is not None and number >= bright else None)
    return made
