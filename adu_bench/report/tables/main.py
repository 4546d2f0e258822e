"""The main table of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adu_bench.leaderboard.board import Board, Row, by_size
from adu_bench.metrics.measures import METRICS
from adu_bench.report.figures.common import block, complete, percent, ranked
from adu_bench.report.printing import in_order, name_of
from adu_bench.report.tables.table import Cell, Table

CONVENTIONS = {key: METRICS[key].title for key in ("h_mean", "h_of_means")}
"""The two ways to average H, and their titles."""


def main_table(board: Board, convention: str = "h_mean") -> Table:
    """Return the paper's main table: H, Mem and For of each method for each number of forgotten domains.

    Parameters
    ----------
    board
        The board; the table leaves out methods whose block is not complete.
    convention
        The kind of H, see `CONVENTIONS`.
    """
    sizes = by_size(board)
    numbers = sorted(set(sizes["forget"]))
    found = {(row["method"], row["forget"]): row for row in sizes.to_dict("records")}
    names = [convention, "mem", "for"]
    tops = _tops(ranked(board), numbers, names, found)

    def cells(row: Row) -> tuple[Cell, ...]:
        values = [(size, name, found[row.method, size][name]) for size in numbers for name in names]
        return (
            Cell(name_of(row.method), name=True),
            *(Cell(percent(value), not row.reference and value == tops[size, name]) for size, name, value in values),
        )

    rows = in_order(complete(board))
    kinds = [[row for row in rows if not row.reference], [row for row in rows if row.reference]]
    return Table(
        groups=(("", 1), *((f"{size} forgotten", 3) for size in numbers)),
        align="l" + "rrr" * len(numbers),
        columns=("method", *["H", "Mem", "For"] * len(numbers)),
        parts=tuple(tuple(cells(row) for row in kind) for kind in kinds if kind),
    )


def main_caption(board: Board, convention: str = "h_mean") -> str:
    """Return the caption of the main table."""
    how = (
        "H is averaged over runs (mean of H)"
        if convention == "h_mean"
        else "H is the harmonic mean of the mean Mem and the mean For (H of means)"
    )
    counts = {size: part["task"].nunique() for size, part in board.frame.groupby("forget")}
    tasks = ", ".join(f"{count} with {size} forgotten" for size, count in counts.items())
    # As in the table, which sets nothing in bold where one method has nothing to be compared with.
    bold = "Bold: best ranked method of the column. " if len(ranked(board)) > 1 else ""
    return (
        f"Per cent, by number of forgotten domains (tasks: {tasks}); {how}. {bold}"
        f"Below the rule: references, never ranked. {block(board)}"
    )


def _tops(
    rows: Sequence[Row], numbers: Sequence[int], names: Sequence[str], found: Mapping[tuple[str, int], Mapping]
) -> dict[tuple[int, str], float]:
    """Return the best value of each column, or infinity where there are fewer than two rows to compare."""
    if len(rows) < 2:
        return {(size, name): float("inf") for size in numbers for name in names}
    return {
        (size, name): max(found[row.method, size][name] for row in rows if (row.method, size) in found)
        for size in numbers
        for name in names
    }
