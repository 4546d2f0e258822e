"""Columns and groups of rows that all tables of the web page share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """A column of the page's tables.

    Parameters
    ----------
    name
        Key of a metric or aspect, or one of the labels of a row.
    title, note
        Heading, and what it means.
    kind
        Its style: ``rank``, ``method``, ``family`` (words), ``letters``, ``headline`` (a number with a bar) or
        ``number``.
    first
        The order at the first press: ``ascending`` or ``descending``.
    wide
        Whether narrow screens show it in the row's details only.
    """

    name: str
    title: str
    note: str
    kind: str = "number"
    first: str = "descending"
    wide: bool = True


RANK = Column("rank", "rank", "place by mean of H among complete methods", "rank", "ascending", False)
METHOD = Column("method", "method", "press a name for its domains, card and runs", "method", "ascending", False)

_SECTIONS = {
    "ranked": "",
    "reference": "References: bounds and controls, without rank",
    "unranked": "Without rank: the block is not complete",
}


def sections(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows in groups by their kind, each with its heading; groups without rows are left out."""
    found = [
        {"heading": title, "rows": [row for row in rows if row["kind"] == kind]} for kind, title in _SECTIONS.items()
    ]
    return [section for section in found if section["rows"]]
