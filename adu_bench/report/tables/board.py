"""A board as Markdown, CSV, JSON or LaTeX; `adu_bench.report.web.page` makes a page of several."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

from adu_bench.leaderboard.board import Board, Row, by_size
from adu_bench.report.escape import markdown_code, markdown_text, spreadsheet_safe, spreadsheet_text, tex_text

FORMATS = ("md", "csv", "json", "tex")

COLUMNS = (
    ("Mem", "mem"),
    ("For", "for_"),
    ("mean of H", "h_mean"),
    ("95 % interval", "interval"),
    ("letters", "letters"),
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
    "95 % interval: of the mean of H, for other domains than these (Student's t over domains). Letters: ranked methods "
    "that share one cannot be told apart by it (Holm, 5 %). "
    "Forgot: the share of zero-shot skill over chance that is gone on forget domains. Probe: accuracy of a linear "
    "domain probe on the features. Reference rows are bounds and controls, and have no rank."
)
STATE = "state"
_STATES = (
    " State: claimed (nobody else checked it), verified (every number was scored again from its predictions), "
    "reproduced (some of its runs were also run again)."
)
_WHY_EMPTY = {
    "interval": "too few domains for an interval",
    "normalised_forgetting": "no zero-shot run beside it",
    "domain_probe": "no features were stored",
}


def render(board: Board, kind: str) -> str:
    """Return a board as text in one of `FORMATS`."""
    return {"md": markdown, "csv": comma_separated, "json": as_json, "tex": latex}[kind](board)


def records(board: Board) -> list[dict[str, Any]]:
    """Return the rows as plain dictionaries; fractions, None where there is nothing."""
    renamed = {"for_": "for"}
    return [{renamed.get(name, name): value for name, value in vars(row).items()} for row in board.rows]


def as_json(board: Board) -> str:
    """Return the rows as a JSON list; fractions with six decimals."""
    rounded = [{name: _rounded(value) for name, value in record.items()} for record in records(board)]
    return json.dumps(rounded, indent=1) + "\n"


def comma_separated(board: Board) -> str:
    """Return the rows as CSV; fractions with six decimals; the column ``empty`` says why cells are."""
    rows = [
        {name: _rounded(value) for name, value in record.items()} | {"empty": _empty(row)}
        for record, row in zip(records(board), board.rows, strict=True)
    ]
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: spreadsheet_text(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def markdown(board: Board, legend: bool = True) -> str:
    """Return the board as a Markdown table, with a legend unless it stands elsewhere."""
    states = [STATE] * has_states(board)
    head = ["", "method", *(title for title, _ in COLUMNS), "tasks", "runs", *states]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * 2 + "---:|" * (len(COLUMNS) + 2) + "---|" * len(states)]
    bold = best(board)
    noted, reasons = noted_cells(board)
    for row in board.rows:
        cells = [f"**{cell}**" if (row.method, name) in bold else cell for name, cell in noted[row.method]]
        ends = [str(row.tasks), str(row.runs), *[row.state] * len(states)]
        lines.append("| " + " | ".join([place(row), markdown_code(row.method), *cells, *ends]) + " |")
    notes = [f"- {reason}." for reason in reasons]
    notes += [
        f"- {markdown_code(row.method)} is not ranked: {markdown_text(row.reason)}." for row in board.rows if row.reason
    ]
    legends = [_LEGEND + _STATES * len(states)] * legend + [board.caveat] * bool(board.caveat)
    texts = [["", " ".join(legends)]] * bool(legends) + [["", *notes]] * bool(notes)
    return "\n".join([*lines, *(line for text in texts for line in text), ""])


def claims_markdown(board: Board) -> str:
    """Return what rows claim beside what their predictions give, as Markdown; empty where none claims anything."""
    rows = [row for row in board.rows if row.claimed_h is not None]
    if not rows:
        return ""
    lines = ["| method | state | Mem claimed | scored | For claimed | scored | mean of H claimed | scored |"]
    lines.append("|---|---|" + "---:|" * 6)
    for row in rows:
        pairs = ((row.claimed_mem, row.mem), (row.claimed_for, row.for_), (row.claimed_h, row.h_mean))
        cells = ["-" if value is None else f"{100 * value:.2f}" for pair in pairs for value in pair]
        lines.append("| " + " | ".join([markdown_code(row.method), row.state, *cells]) + " |")
    return "\n".join([*lines, ""])


def latex(board: Board) -> str:
    """Return the board as a LaTeX table (booktabs) with the best values bold."""
    bold = best(board)
    states = ["State"] * has_states(board)
    head = " & ".join(["", "Method", *(tex_text(title) for title, _ in COLUMNS), *states])
    columns = "ll" + "r" * len(COLUMNS) + "l" * len(states)
    lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", head + " \\\\", "\\midrule"]
    noted, reasons = noted_cells(board)
    before = None
    for row in board.rows:
        kind = (row.reference, bool(row.reason))
        if before is not None and kind != before:
            lines.append("\\midrule")
        before = kind
        cells = [
            f"\\textbf{{{tex_text(cell)}}}" if (row.method, name) in bold else tex_text(cell)
            for name, cell in noted[row.method]
        ]
        ends = [tex_text(row.state)] * len(states)
        lines.append(" & ".join([place(row), tex_text(row.method), *cells, *ends]) + " \\\\")
    reasons += [f"{row.method} is not ranked: {row.reason}" for row in board.rows if row.reason]
    notes = [f"\\\\[1ex] \\footnotesize {tex_text('; '.join(reasons))}."] * bool(reasons)
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", *notes, ""])


def sizes_comma_separated(board: Board) -> str:
    """Return methods x number of forget domains as CSV, one row each; fractions with six decimals."""
    return spreadsheet_safe(by_size(board)).to_csv(index=False, float_format="%.6f", lineterminator="\n")


def sizes_markdown(board: Board) -> str:
    """Return methods x number of forget domains as Markdown, in the layout of the paper's main table."""
    sizes, lines = _size_rows(board)
    head = "| method | " + " | ".join(f"H ({size}) | Mem | For" for size in sizes) + " |"
    body = ["| " + " | ".join([markdown_code(name), *cells]) + " |" for name, cells in lines]
    return "\n".join([head, "|---|" + "---:|" * (3 * len(sizes)), *body, ""])


def sizes_latex(board: Board) -> str:
    """Return methods x number of forget domains as LaTeX (booktabs), in the layout of the paper's main table."""
    sizes, lines = _size_rows(board)
    spans = " & ".join(f"\\multicolumn{{3}}{{c}}{{{size} forgotten}}" for size in sizes)
    rules = "".join(f"\\cmidrule(lr){{{2 + 3 * place}-{4 + 3 * place}}}" for place in range(len(sizes)))
    head = ["\\begin{tabular}{l" + "rrr" * len(sizes) + "}", "\\toprule", f" & {spans} \\\\", rules]
    names = "Method & " + " & ".join(["H & Mem & For"] * len(sizes)) + " \\\\"
    body = [" & ".join([tex_text(name), *map(tex_text, cells)]) + " \\\\" for name, cells in lines]
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
    if name == "letters":
        return row.letters or "-"
    value = getattr(row, name)
    if value is None or not math.isfinite(value):
        return ""
    if name == "parameters":
        return f"{value:,.0f}"
    return f"{value:.1f}" if name == "seconds" else f"{100 * value:.1f}"


def noted_cells(board: Board) -> tuple[dict[str, list[tuple[str, str]]], list[str]]:
    """Return each method's cells with a letter in brackets where one is empty, and what the letters stand for."""
    letters: dict[str, str] = {}
    cells: dict[str, list[tuple[str, str]]] = {}
    for row in board.rows:
        cells[row.method] = []
        for name, text in cells_of(row):
            if not text:
                reason = why_empty(row, name)
                text = letters.setdefault(reason, f"({chr(ord('a') + len(letters))})")
            cells[row.method].append((name, text))
    return cells, [f"{letter} {reason}" for reason, letter in letters.items()]


def why_empty(row: Row, name: str) -> str:
    """Say why a method has no value in a column; empty where it has one."""
    if _cell(row, name):
        return ""
    return "none of its runs counts" if row.runs == 0 else _WHY_EMPTY.get(name, "not measured")


def has_states(board: Board) -> bool:
    """Return whether the board has committed rows, which were checked more or less."""
    return any(row.state for row in board.rows)


def _empty(row: Row) -> str:
    found = [(title, why_empty(row, name)) for title, name in COLUMNS]
    return "; ".join(f"{title}: {reason}" for title, reason in found if reason)


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, 6) if math.isfinite(value) else None
