"""Tables and figures as a notebook shows them."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING

from adu_bench.report.style import style
from adu_bench.report.tables.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from adu_bench.report.section import Section

_DPI = 150
_RULE = "border-top:1px solid currentColor"


def table_html(table: Table, title: str = "") -> str:
    """Return a table as HTML that needs no style sheet: numbers flush right, parts apart, notes below."""
    sides = {"l": "left", "r": "right"}

    def row(texts: list[str], tag: str, rule: str) -> str:
        cells = "".join(
            f'<{tag} style="text-align:{sides[side]};padding:2px 8px">{text}</{tag}>'
            for text, side in zip(texts, table.align, strict=True)
        )
        return f'<tr style="background:none{rule}">{cells}</tr>'

    lines = [row([escape(text) for text in table.headings], "th", "")]
    for part in table.parts:
        for number, cells in enumerate(part):
            texts = [f"<b>{escape(cell.text)}</b>" if cell.bold else escape(cell.text) for cell in cells]
            lines.append(row(texts, "td", "" if number else f";{_RULE}"))
    caption = f'<caption style="text-align:left;font-weight:bold">{escape(title)}</caption>' if title else ""
    notes = "".join(f'<div style="font-size:smaller">{escape(note)}.</div>' for note in table.notes)
    return f'<table style="border-collapse:collapse">{caption}{"".join(lines)}</table>{notes}'


def draw(section: Section) -> Figure:
    """Draw a figure in the shared style; notebooks show it, with or without pyplot."""
    with style():
        figure = section.draw()
    # Figures that pyplot does not know have no representation of their own; IPython asks for this attribute.
    figure._repr_png_ = lambda: _png(figure)  # type: ignore[attr-defined]
    return figure


def _png(figure: Figure) -> bytes:
    with style(), io.BytesIO() as target:
        figure.savefig(target, format="png", dpi=_DPI)
        return target.getvalue()
