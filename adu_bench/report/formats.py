"""A board as Markdown, CSV, JSON, LaTeX, HTML, or a table on the terminal."""

from __future__ import annotations

import csv
import html
import io
import json
from typing import Any

from adu_bench.report.board import Board, Row, by_size

FORMATS = ("md", "csv", "json", "tex", "html")

COLUMNS = (
    ("Mem", "mem"),
    ("For", "for_"),
    ("mean of H", "h_mean"),
    ("95 % interval", "interval"),
    ("H of means", "h_of_means"),
    ("forgot", "normalised_forgetting"),
    ("probe", "domain_probe"),
    ("parameters", "parameters"),
    ("s", "seconds"),
)
"""Headings of the numeric columns and where their values come from."""

_LEGEND = (
    "Mem: accuracy on retain domains; For: error rate on forget domains; H: their harmonic mean, all in per cent. "
    "Mean of H averages H over seeds, then tasks; H of means is the harmonic mean of the two columns before it. "
    "Forgot: the share of zero-shot skill over chance that is gone on forget domains. Probe: accuracy of a linear "
    "domain probe on the features. Reference rows are bounds and controls, and have no rank."
)


def render(board: Board, kind: str) -> str:
    """Return a board as text in one of `FORMATS`."""
    return {"md": markdown, "csv": comma_separated, "json": as_json, "tex": latex, "html": web_page}[kind](board)


def records(board: Board) -> list[dict[str, Any]]:
    """Return the rows as plain dictionaries; fractions, None where there is nothing."""
    renamed = {"for_": "for"}
    return [{renamed.get(name, name): value for name, value in vars(row).items()} for row in board.rows]


def as_json(board: Board) -> str:
    """Return the rows as a JSON list; fractions with six decimals."""
    rounded = [
        {name: round(value, 6) if isinstance(value, float) else value for name, value in record.items()}
        for record in records(board)
    ]
    return json.dumps(rounded, indent=1) + "\n"


def comma_separated(board: Board) -> str:
    """Return the rows as CSV; fractions with six decimals."""
    text = io.StringIO()
    rows = json.loads(as_json(board))
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def markdown(board: Board, legend: bool = True) -> str:
    """Return the board as a Markdown table, with a legend unless it stands elsewhere."""
    head = ["", "method", *(title for title, _ in COLUMNS), "tasks", "runs"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * 2 + "---:|" * (len(head) - 2)]
    bold = best(board)
    for row in board.rows:
        cells = [f"**{cell}**" if (row.method, name) in bold else cell for name, cell in cells_of(row)]
        lines.append("| " + " | ".join([place(row), f"`{row.method}`", *cells, str(row.tasks), str(row.runs)]) + " |")
    notes = [f"- `{row.method}` is not ranked: {row.reason}." for row in board.rows if row.reason]
    texts = [["", _LEGEND]] * legend + [["", *notes]] * bool(notes)
    return "\n".join([*lines, *(line for text in texts for line in text), ""])


def latex(board: Board) -> str:
    """Return the board as a LaTeX table (booktabs) with the best values bold."""
    bold = best(board)
    head = " & ".join(["", "Method", *(_tex(title) for title, _ in COLUMNS)])
    lines = ["\\begin{tabular}{ll" + "r" * len(COLUMNS) + "}", "\\toprule", head + " \\\\", "\\midrule"]
    before = None
    for row in board.rows:
        kind = (row.reference, bool(row.reason))
        if before is not None and kind != before:
            lines.append("\\midrule")
        before = kind
        cells = [
            f"\\textbf{{{_tex(cell)}}}" if (row.method, name) in bold else _tex(cell) for name, cell in cells_of(row)
        ]
        lines.append(" & ".join([_tex(place(row)), _tex(row.method), *cells]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def sizes_comma_separated(board: Board) -> str:
    """Return methods x number of forget domains as CSV, one row each; fractions with six decimals."""
    return by_size(board).to_csv(index=False, float_format="%.6f", lineterminator="\n")


def sizes_markdown(board: Board) -> str:
    """Return methods x number of forget domains as Markdown, in the layout of the paper's main table."""
    sizes, lines = _size_rows(board)
    head = "| method | " + " | ".join(f"H ({size}) | Mem | For" for size in sizes) + " |"
    body = ["| " + " | ".join([f"`{name}`", *cells]) + " |" for name, cells in lines]
    return "\n".join([head, "|---|" + "---:|" * (3 * len(sizes)), *body, ""])


def sizes_latex(board: Board) -> str:
    """Return methods x number of forget domains as LaTeX (booktabs), in the layout of the paper's main table."""
    sizes, lines = _size_rows(board)
    spans = " & ".join(f"\\multicolumn{{3}}{{c}}{{{size} forgotten}}" for size in sizes)
    rules = "".join(f"\\cmidrule(lr){{{2 + 3 * place}-{4 + 3 * place}}}" for place in range(len(sizes)))
    head = ["\\begin{tabular}{l" + "rrr" * len(sizes) + "}", "\\toprule", f" & {spans} \\\\", rules]
    names = "Method & " + " & ".join(["H & Mem & For"] * len(sizes)) + " \\\\"
    body = [" & ".join([_tex(name), *map(_tex, cells)]) + " \\\\" for name, cells in lines]
    return "\n".join([*head, names, "\\midrule", *body, "\\bottomrule", "\\end{tabular}", ""])


def _size_rows(board: Board) -> tuple[list[int], list[tuple[str, list[str]]]]:
    """Return the numbers of forget domains, and each method's cells: mean of H, Mem and For a number."""
    table = by_size(board)
    sizes = sorted(set(table["forget"]))
    cells = {
        (row["method"], row["forget"]): [f"{100 * row[name]:.1f}" for name in ("h_mean", "mem", "for")]
        for row in table.to_dict("records")
    }
    methods = dict.fromkeys(table["method"])
    empty = ["", "", ""]
    return sizes, [(name, [c for size in sizes for c in cells.get((name, size), empty)]) for name in methods]


def web_page(board: Board) -> str:
    """Return the board as one self-contained HTML page."""
    head = "".join(
        f"<th scope=col>{html.escape(title)}</th>" for title in ["", "method", *(t for t, _ in COLUMNS), "runs"]
    )
    body = []
    for row in board.rows:
        cells = "".join(f"<td>{html.escape(cell)}</td>" for _, cell in cells_of(row))
        name = f"<th scope=row>{html.escape(row.method)}</th>"
        body.append(
            f"<tr class={row_class(row)}><td>{html.escape(place(row))}</td>{name}{cells}<td>{row.runs}</td></tr>"
        )
    notes = "".join(
        f"<li>{html.escape(row.method)} is not ranked: {html.escape(row.reason)}.</li>"
        for row in board.rows
        if row.reason
    )
    return _PAGE.format(
        title=html.escape(f"{board.suite}: leaderboard"),
        subtitle=html.escape(board.title),
        head=head,
        body="\n".join(body),
        legend=html.escape(_LEGEND),
        notes=f"<ul>{notes}</ul>" if notes else "",
    )


def place(row: Row) -> str:
    """Return what stands in front of a method: its rank, ``ref`` or a dash."""
    return str(row.rank) if row.rank is not None else "ref" if row.reference else "-"


def row_class(row: Row) -> str:
    """Return the kind of a row: ``ranked``, ``reference`` or ``unranked``."""
    return "unranked" if row.reason else "reference" if row.reference else "ranked"


def cells_of(row: Row) -> list[tuple[str, str]]:
    """Return the numeric cells of a row as (column, text): per cent with one decimal, whole parameters, seconds."""
    return [(name, _cell(row, name)) for _, name in COLUMNS]


def best(board: Board) -> set[tuple[str, str]]:
    """Return the (method, column) pairs that hold the best value among ranked rows."""
    ranked = [row for row in board.rows if row.rank is not None]
    found = set()
    for name in ("mem", "for_", "h_mean", "h_of_means"):
        values = [getattr(row, name) for row in ranked]
        if len(values) > 1:
            found |= {(row.method, name) for row in ranked if getattr(row, name) == max(values)}
    return found


def _cell(row: Row, name: str) -> str:
    if name == "interval":
        return (
            f"{100 * row.h_low:.1f}-{100 * row.h_high:.1f}" if row.h_low is not None and row.h_high is not None else ""
        )
    value = getattr(row, name)
    if value is None:
        return ""
    if name == "parameters":
        return f"{value:,.0f}"
    return f"{value:.1f}" if name == "seconds" else f"{100 * value:.1f}"


def _tex(text: str) -> str:
    for character in "\\&%$#_{}":
        text = text.replace(character, f"\\{character}" if character != "\\" else "\\textbackslash ")
    return text


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }}
.table {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }}
th, td {{ padding: .35rem .7rem; text-align: right;
  border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); }}
th:nth-child(2) {{ text-align: left; }}
tr.reference, tr.unranked {{ opacity: .72; }}
caption, p {{ text-align: left; }}
</style></head><body>
<h1>{title}</h1><p>{subtitle}</p>
<div class=table><table><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table></div>
<p>{legend}</p>{notes}
</body></html>
"""
