"""A section of a report, and one that its results do not allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adu_bench.report.tables.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """A figure or table with its caption.

    Parameters
    ----------
    name
        Stem of its files.
    title, caption
        For people.
    draw
        Draws the figure; to be called within `adu_bench.report.style.style`.
    table
        The table that the figure shows, if it shows one.
    seen
        What is to be seen in a figure, for readers who do not see it; empty for tables.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]
    table: Table | None = None
    seen: str = ""


@dataclass(frozen=True)
class Missing:
    """A section that the results do not allow: its title, the reason, and the command that makes it possible."""

    title: str
    reason: str
    command: str
