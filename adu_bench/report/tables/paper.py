"""A board beside the paper's published numbers, as a table in every format.  Published rows have no rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

import pandas as pd

from adu_bench.leaderboard.board import Board
from adu_bench.leaderboard.published import MEASURES, beside_paper, conditions, source
from adu_bench.metrics.measures import METRICS
from adu_bench.report.tables.table import Cell, Table, latex, markdown, records_csv, records_json

KINDS = ("paper", "here", "difference")
WORDS = 3
"""The first columns, which hold words: number of forget domains, method, preset."""


def paper_table(board: Board) -> Table:
    """Return the comparison: for each published row Mem, For and H in the paper, here, and their difference."""

    def cells(row: dict[str, Any]) -> tuple[Cell, ...]:
        numbers = [Cell(_number(row[f"{kind}_{name}"], kind)) for name in MEASURES for kind in KINDS]
        words = (Cell(str(row["forget"])), Cell(row["title"]), Cell(row["method"], name=True))
        return (*words, *numbers, Cell(row["convention"]), Cell(row["note"]))

    rows = beside_paper(board).to_dict("records")
    return Table(
        columns=("forgets", "method", "preset", *KINDS * len(MEASURES), "H is", "note"),
        parts=tuple(tuple(map(cells, own)) for _, own in groupby(rows, key=lambda row: row["forget"])),
        align="rll" + "rrr" * len(MEASURES) + "ll",
        groups=(("", WORDS), *((METRICS[name].title, len(KINDS)) for name in MEASURES), ("", 2)),
    )


def paper_legend(board: Board) -> str:
    """Return what a reader needs to know about the comparison."""
    return (
        f"{source()} {conditions(board)} In per cent; difference: here minus paper. The published table mixes two "
        "kinds of H without saying so: where a published H is the harmonic mean of its row's Mem and For, it is an "
        "H of means, else a mean of H (inferred); each is compared with the same kind here."
    )


def _number(value: float, kind: str) -> str:
    if pd.isna(value):
        return "-"
    return f"{100 * value:+.1f}" if kind == "difference" else f"{100 * value:.1f}"


def paper_records(board: Board) -> list[dict[str, Any]]:
    """Return the comparison as dictionaries; fractions with six decimals, None where there is nothing."""
    frame = beside_paper(board).round(6)
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


PAPER_FORMATS: Mapping[str, Callable[[Board], str]] = {
    "md": lambda board: f"{markdown(paper_table(board))}\n{paper_legend(board)}\n",
    "csv": lambda board: records_csv(paper_records(board)),
    "json": lambda board: records_json(paper_records(board)),
    "tex": lambda board: latex(paper_table(board)),
}
