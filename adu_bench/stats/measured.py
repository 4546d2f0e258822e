"""What `adu_bench.stats.simulation` measured, for those who quote it."""

from __future__ import annotations

import pandas as pd

from adu_bench.core.paths import RESOURCES

MEASURED = RESOURCES / "statistics" / "measured.csv"
ALL, ALONE = "all tasks", "tasks that forget 1 domain"
USUAL = "mixed effects"
"""The scenario in which domains, tasks and seeds all matter."""


def view_name(size: int | None) -> str:
    """Return how the table names the tasks that forget so many domains."""
    return ALL if size is None else ALONE if size == 1 else f"tasks that forget {size} domains"


def wrong(procedure: str, size: int | None, scenario: str = USUAL) -> float | None:
    """Return how often a procedure was wrong on simulated boards, 0..1; None if that was not measured."""
    table = pd.read_csv(MEASURED)
    chosen = (table["procedure"] == procedure) & (table["view"] == view_name(size)) & (table["scenario"] == scenario)
    return float(table.loc[chosen, "wrong"].iloc[0]) if chosen.any() else None
