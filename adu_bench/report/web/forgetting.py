"""The table of the web page that says what audits found: one row per audited method, unfolded to its attacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from adu_bench.core.words import counted
from adu_bench.leaderboard.aspects import Forgetting
from adu_bench.leaderboard.board import Board, Row
from adu_bench.report.figures.common import percent
from adu_bench.report.tables.board import place
from adu_bench.report.tables.forgetting import (
    ABOUT,
    BEYOND,
    MORE,
    PART_OFF_NOTE,
    PART_OFF_TITLE,
    TITLE,
    UNMEASURED,
    any_beyond,
    audited,
    fewer_tasks,
    part_off_text,
    plain,
    standing_text,
)
from adu_bench.report.web.columns import METHOD, RANK, Column, sections

_NARROW = ("retained", "forgot", "depth")
"""The aspects that narrow screens show."""


def forgetting_panel(board: Board, views: list[str], heading: str) -> dict[str, Any]:
    """Return the table of a board with audits; parameters as for the table of the board itself."""
    found = board.forgetting
    assert found is not None
    columns = list(_columns(found))
    rows = [_row(row, found, columns) for row in audited(board)]
    title = ": ".join(filter(None, (heading, TITLE[0].lower() + TITLE[1:])))
    notes = [
        ABOUT,
        *[f"+: {BEYOND}."] * any_beyond(found),
        *(f"{note[0].upper()}{note[1:]}." for note in fewer_tasks(found)),
    ]
    for row in rows:
        row["id"] = quote("/".join((board.suite, title, row["method"])))
    return {
        "id": quote(f"{board.suite}/{title}"),
        "suite": board.suite,
        "views": views,
        "heading": title,
        "block": f"What audits of the finished classifiers say, on {counted(found.tasks, 'task')}. {' '.join(notes)}",
        "made": "",
        "absent": "",
        "links": [],
        "scatter": None,
        "columns": columns,
        "domains": [],
        "sections": sections(rows),
        "settings": [],
        "paper": None,
    }


def _columns(found: Forgetting) -> Iterator[Column]:
    yield from (RANK, METHOD)
    for aspect in found.aspects:
        first = "ascending" if aspect.direction == "down" else "descending"
        wide = aspect.key not in _NARROW
        yield Column(aspect.key, aspect.title, plain(aspect.explanation), "number", first, wide)
        if aspect.key in MORE:
            title, note = MORE[aspect.key]
            yield Column(f"{aspect.key}_by", title, note, "family", "ascending")
    yield Column("part_off", PART_OFF_TITLE, plain(PART_OFF_NOTE))


def _row(row: Row, found: Forgetting, columns: list[Column]) -> dict[str, Any]:
    recoveries = found.recoveries.get(row.method, {})
    return {
        "kind": row.kind,
        "family": row.group,
        "method": row.method,
        "state": "",
        "reason": "",
        "cells": [_cell(row, found, column) for column in columns],
        "colour": "",
        "filled": True,
        "summary": "recovery by attack",
        "heat": [],
        "attacks": [{"name": name, "text": percent(value)} for name, value in recoveries.items()],
        "card": [],
        "runs": [],
        "file": "",
    }


def _cell(row: Row, found: Forgetting, column: Column) -> dict[str, Any]:
    value: str | float | None = None
    text = why = ""
    if column is RANK:
        text, value = place(row), row.rank
    elif column is METHOD:
        text, value = row.method, row.method
    elif column.name == "part_off":
        text, value = part_off_text(found, row.method), found.recoveries.get(row.method, {}).get("part-off")
    elif column.name.endswith("_by"):
        own = found.of(row.method, column.name.removesuffix("_by"))
        value = text = own.by if own is not None else ""
        why = UNMEASURED
    else:
        own = found.of(row.method, column.name)
        text, why = standing_text(own), UNMEASURED
        if own is not None:
            value = round(own.estimate.value, 6)
            text += " +" * own.beyond
    shown = "" if value is None else value
    return {"column": column, "text": text, "value": shown, "why": why, "best": False, "bar": None, "beside": ""}
