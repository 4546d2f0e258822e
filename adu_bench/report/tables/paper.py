"""The paper beside a board, as Markdown, CSV, JSON or LaTeX; its rows are claims, and have no rank."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd

from adu_bench.leaderboard.board import Board
from adu_bench.leaderboard.published import MEASURES, beside_paper, claims_of, conditions, source
from adu_bench.report.escape import markdown_text, spreadsheet_safe, tex_text

KINDS = ("paper", "here", "difference")
TITLES = {"mem": "Mem", "for": "For", "h": "H"}


def has_paper(board: Board) -> bool:
    """Return whether the paper has numbers for the board's suite."""
    return bool(claims_of(board.suite))


def paper_legend(board: Board) -> str:
    """Return what a reader must know of the comparison."""
    return (
        f"{source()} {conditions(board)} In per cent; difference: here minus paper. The published table mixes two "
        "kinds of H without saying so: where a published H is the harmonic mean of its row's Mem and For it is an "
        "H of means, else a mean of H (inferred); each is compared with the same kind here."
    )


def paper_cells(row: dict) -> list[str]:
    """Return the nine numbers of a row of `beside_paper`: paper, here, difference of Mem, For and H, in per cent."""
    return [paper_number(row, name, kind) for name in MEASURES for kind in KINDS]


def paper_number(row: dict, name: str, kind: str) -> str:
    """Return one number of a row of `beside_paper` in per cent; a dash where there is none."""
    value = row[f"{kind}_{name}"]
    if pd.isna(value):
        return "-"
    return f"{100 * value:+.1f}" if kind == "difference" else f"{100 * value:.1f}"


def paper_comma_separated(board: Board) -> str:
    """Return the comparison as CSV; fractions with six decimals, empty where there is nothing (the note says why)."""
    return spreadsheet_safe(beside_paper(board)).to_csv(index=False, float_format="%.6f", lineterminator="\n")


def paper_json(board: Board) -> str:
    """Return the comparison as a JSON list; fractions with six decimals, null where there is nothing."""
    frame = beside_paper(board).round(6)
    return json.dumps(frame.astype(object).where(frame.notna(), None).to_dict("records"), indent=1) + "\n"


def paper_markdown(board: Board) -> str:
    """Return the comparison as a Markdown table with its legend."""
    names = [f"{TITLES[name]} {kind}" for name in MEASURES for kind in KINDS]
    head = ["forget", "method", *names, "H is", "note"]
    lines = ["| " + " | ".join(head) + " |", "|---:|---|" + "---:|" * len(names) + "---|---|"]
    for row in beside_paper(board).to_dict("records"):
        cells = [str(row["forget"]), f"{markdown_text(row['title'])} (`{row['method']}`)", *paper_cells(row)]
        lines.append("| " + " | ".join([*cells, row["convention"], markdown_text(row["note"])]) + " |")
    return "\n".join([*lines, "", paper_legend(board), ""])


def paper_latex(board: Board) -> str:
    """Return the comparison as a LaTeX table (booktabs), with the H that each row uses."""
    spans = " & ".join(f"\\multicolumn{{3}}{{c}}{{{TITLES[name]}}}" for name in MEASURES)
    rules = "".join(f"\\cmidrule(lr){{{first}-{first + 2}}}" for first in (3, 6, 9))
    head = ["\\begin{tabular}{rl" + "r" * 9 + "ll}", "\\toprule", f" & & {spans} & & \\\\", rules]
    names = "Forget & Method & " + "paper & here & diff. & " * 3 + "H is & \\\\"
    body, before = [], None
    for row in beside_paper(board).to_dict("records"):
        if before not in (None, row["forget"]):
            body.append("\\midrule")
        before = row["forget"]
        cells = [str(row["forget"]), row["title"], *paper_cells(row), row["convention"], row["note"]]
        body.append(" & ".join(map(tex_text, cells)) + " \\\\")
    return "\n".join([*head, names, "\\midrule", *body, "\\bottomrule", "\\end{tabular}", ""])


PAPER_FORMATS: dict[str, Callable[[Board], str]] = {
    "md": paper_markdown,
    "csv": paper_comma_separated,
    "json": paper_json,
    "tex": paper_latex,
}
