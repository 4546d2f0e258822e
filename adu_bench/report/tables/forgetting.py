"""Did it forget?  What audits say of the methods of a board, as tables and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from adu_bench.leaderboard.aspects import ASPECTS, Aspect, Forgetting, Standing
from adu_bench.leaderboard.board import Board, Row
from adu_bench.report.escape import markdown_text
from adu_bench.report.figures.common import percent
from adu_bench.report.tables.table import Cell, Table, latex, markdown

TITLE = "Did it forget?"
ABOUT = (
    "Per cent: means over tasks, then over seeds, with half the width of the 95 % interval over seeds (Student's t). "
    "Audits have no values by image, so other test images are not part of these intervals. #: one more than the number "
    "of ranked methods that are better (tests of all pairs over seeds, Holm, 5 %)."
)
BEYOND = "beyond never having known, which counts as 100"
FIXED = "by construction"
UNMEASURED = "not measured on all tasks"
PART_OFF_TITLE = "part off"
MORE: Mapping[str, tuple[str, str]] = {
    "depth": ("strongest attack", "the attack of the core audits that recovers most, on average over tasks and seeds"),
    "collateral": ("largest loss", "where this loss is"),
}
"""Columns of words that follow that of an aspect: heading and explanation."""
PART_OFF_NOTE = (
    "recovery with all learned parts removed; *by construction* where no weight of the backbone was changed: then "
    "everything comes back, whatever was learned, and this attack does not count towards depth"
)


def forgetting_table(board: Board, narrow: bool = False) -> Table:
    """Return what audits say as a table: one row per complete method that was audited, in the board's order.

    Parameters
    ----------
    board
        A board with `Board.forgetting`.
    narrow
        Leave out all but the answer, the depth and its attack, for narrow terminals.
    """
    found = found_of(board)
    aspects = [aspect for aspect in found.aspects if not narrow or aspect.key in ("retained", "forgot", "depth")]
    letters: dict[str, str] = {}

    def marked(reason: str) -> str:
        return letters.setdefault(reason, f"({chr(ord('a') + len(letters))})")

    def cells(row: Row) -> tuple[Cell, ...]:
        made = [Cell(str(row.rank) if row.rank is not None else "ref"), Cell(row.method, name=True)]
        for aspect in aspects:
            own = found.of(row.method, aspect.key)
            text = standing_text(own)
            if own is None:
                text = marked(UNMEASURED)
            elif own.beyond:
                text += f" {marked(BEYOND)}"
            made.append(Cell(text))
            if aspect.key in MORE:
                made.append(Cell(own.by if own is not None else ""))
        return (*made, *[Cell(part_off_text(found, row.method))] * (not narrow))

    rows = audited(board)
    parts = tuple(tuple(cells(row) for row in own) for _, own in groupby(rows, key=lambda row: row.kind))
    heads = [
        (title, side)
        for aspect in aspects
        for title, side in ((aspect.title, "r"), *([(MORE[aspect.key][0], "l")] if aspect.key in MORE else []))
    ]
    heads += [(PART_OFF_TITLE, "r")] * (not narrow)
    return Table(
        columns=("", "method", *(title for title, _ in heads)),
        parts=parts,
        align="ll" + "".join(side for _, side in heads),
        notes=(*(f"{letter} {reason}" for reason, letter in letters.items()), *fewer_tasks(found, aspects)),
    )


def fewer_tasks(found: Forgetting, aspects: Sequence[Aspect] = ()) -> list[str]:
    """Return which of the columns rest on some of the tasks only; all columns if empty."""
    lines = []
    for aspect in aspects or found.aspects:
        counts = {own[aspect.key].estimate.tasks for own in found.standings.values() if aspect.key in own}
        if counts and counts != {found.tasks}:
            lines.append(f"{aspect.title} rests on the {max(counts)} of {found.tasks} tasks that have an oracle")
    return lines


def forgetting_legend(board: Board) -> list[tuple[str, str]]:
    """Return what each column means, as (title, one sentence without full stop)."""
    lines = []
    for aspect in found_of(board).aspects:
        lines.append((aspect.title, aspect.explanation))
        lines += [MORE[aspect.key]] if aspect.key in MORE else []
    return [*lines, (PART_OFF_TITLE, PART_OFF_NOTE)]


def forgetting_markdown(board: Board) -> str:
    """Return the table with its legend as Markdown, without a heading."""
    columns = [f"- **{markdown_text(title)}**: {text}." for title, text in forgetting_legend(board)]
    return "\n".join(
        [
            markdown(forgetting_table(board)),
            ABOUT,
            "",
            *columns,
            "",
        ]
    )


def forgetting_latex(board: Board) -> str:
    """Return the table for LaTeX."""
    return latex(forgetting_table(board))


def forgetting_records(board: Board) -> list[dict[str, Any]]:
    """Return what audits say of each row of a board, with the same keys; None where nothing was measured.

    Returns
    -------
    list of dict
        In the order of the rows.  For each aspect its value and interval as fractions with six decimals, its rank and
        whether it is beyond never having known; the strongest attack, the largest loss, and whether part-off brings
        everything back by construction.
    """
    found = found_of(board)
    return [_record(found, row.method) for row in board.rows]


def _record(found: Forgetting, method: str) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for aspect in ASPECTS:
        own = found.of(method, aspect.key)
        one = own.estimate if own is not None else None
        record |= {
            aspect.key: _rounded(one.value if one is not None else None),
            f"{aspect.key}_low": _rounded(one.low if one is not None else None),
            f"{aspect.key}_high": _rounded(one.high if one is not None else None),
            f"{aspect.key}_rank": own.rank if own is not None else None,
        }
        if aspect.capped:
            record[f"{aspect.key}_beyond"] = own.beyond if own is not None else None
        if aspect.key.startswith("depth") or aspect.key in MORE:
            record[f"{aspect.key}_by"] = own.by if own is not None else None
    return record | {"by_construction": found.by_construction.get(method)}


def audited(board: Board) -> list[Row]:
    """Return the rows of which an audit says something."""
    return [row for row in board.rows if row.method in found_of(board).standings]


def any_beyond(found: Forgetting) -> bool:
    """Return whether some value is beyond never having known."""
    return any(own.beyond for standings in found.standings.values() for own in standings.values())


def standing_text(own: Standing | None) -> str:
    """Return a value with half the width of its interval and its rank, as far as there are any."""
    if own is None:
        return ""
    one = own.estimate
    half = "" if one.low is None or one.high is None else f" ± {100 * (one.high - one.low) / 2:.1f}"
    rank = "" if own.rank is None else f" #{own.rank}"
    return f"{percent(one.value)}{half}{rank}"


def part_off_text(found: Forgetting, method: str) -> str:
    """Return what removing the learned parts brings back, or that it is so by construction."""
    if found.by_construction.get(method):
        return FIXED
    recovery = found.recoveries.get(method, {}).get("part-off")
    return "-" if recovery is None else percent(recovery)


def plain(text: str) -> str:
    """Return an explanation without Markdown's marks."""
    return text.replace("`", "").replace("*", "")


def found_of(board: Board) -> Forgetting:
    """Return what audits say of a board of which they say something."""
    assert board.forgetting is not None, "the board has no audits"
    return board.forgetting


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
