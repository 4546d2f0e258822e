"""The ablations of a method as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adu_bench.leaderboard.board import Board, Row
from adu_bench.report.figures.common import block, complete, ends, intervals_sentence, percent
from adu_bench.report.printing import name_of
from adu_bench.report.tables.table import Cell, Table
from adu_bench.stats.estimates import Estimate


def ablation_table(board: Board, whole: str, changes: Mapping[str, Estimate], summaries: Mapping[str, str]) -> Table:
    """Return the ablations of a method: what each changes, its means, and its H minus that of the whole method.

    Parameters
    ----------
    board
        A board on which the method and its ablations are complete.
    whole
        The method.
    changes
        By ablation, see `ablation_changes`.
    summaries
        What each method changes, as a sentence.
    """
    rows = [row for row in complete(board) if row.method in (whole, *changes)]
    rows.sort(key=lambda row: (row.method != whole, -(row["h_mean"] or 0)))
    best = max(row["h_mean"] or 0 for row in rows)

    def cells(row: Row) -> tuple[Cell, ...]:
        change = changes.get(row.method)
        return (
            Cell(name_of(row.method)),
            Cell("the whole method" if row.method == whole else summaries.get(row.method, "").rstrip(".")),
            Cell(percent(row["h_mean"]), row["h_mean"] == best),
            Cell(percent(row["mem"])),
            Cell(percent(row["for"])),
            Cell(percent(change.value, signed=True) if change else ""),
            Cell(ends(change.low, change.high, signed=True) if change else ""),
        )

    return Table(
        groups=(("", 2), ("", 3), ("change of H", 2)),
        columns=("method", "what is changed", "H", "Mem", "For", "mean", "95 % interval"),
        parts=(tuple(cells(row) for row in rows[:1]), tuple(cells(row) for row in rows[1:])),
        align="llrrrrr",
    )


def ablation_changes(board: Board, whole: str, others: Sequence[str]) -> dict[str, Estimate]:
    """Return H of each ablation minus H of the whole method, for other few-shot draws and other test images.

    Parameters
    ----------
    board
        A board on which the method and its ablations are complete.
    whole, others
        The method and its ablations.
    """
    assert board.sample is not None
    return {name: board.sample.difference(name, whole) for name in others}


def ablation_caption(board: Board, whole: str) -> str:
    """Return the caption of the ablation table."""
    return (
        f"Per cent; H is the mean of H. Change: H minus that of {name_of(whole)} on the same tasks and seeds, in "
        f"points. {intervals_sentence(board)} They are not corrected for their number. {block(board)}"
    )
