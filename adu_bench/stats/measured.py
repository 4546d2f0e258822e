"""What `adu_bench.maintenance.simulation` measured, for those who quote it."""

from __future__ import annotations

from functools import cache

import pandas as pd

from adu_bench.core.paths import RESOURCES
from adu_bench.stats.estimates import FEWEST_DOMAINS, ForgetSets, tells_roles_apart

MEASURED = RESOURCES / "statistics" / "measured.csv"
ALL, ALONE = "all tasks", "tasks that forget 1 domain"
APART = "t over domains, of tasks of this size alone"
"""What `adu_bench.stats.estimates.over_domains` gives where all tasks forget equally many domains."""
USUAL = "as measured"
"""The scenario whose effects have the sizes that a real board shows."""


def view_name(size: int | None) -> str:
    """Return how the table names the tasks that forget so many domains."""
    return ALL if size is None else ALONE if size == 1 else f"tasks that forget {size} domains"


def wrong(procedure: str, size: int | None, scenario: str = USUAL) -> float | None:
    """Return how often a procedure was wrong on simulated boards, 0..1; None if that was not measured."""
    table = _table()
    chosen = (table["procedure"] == procedure) & (table["view"] == view_name(size)) & (table["scenario"] == scenario)
    return float(table.loc[chosen, "wrong"].iloc[0]) if chosen.any() else None


@cache
def _table() -> pd.DataFrame:
    return pd.read_csv(MEASURED)


def caveat(forget: ForgetSets) -> str:
    """Say why an interval for other domains may be too narrow on tasks that forget these; empty if it is not."""
    if len(set().union(*forget)) < FEWEST_DOMAINS or tells_roles_apart(forget):
        return ""
    sizes = {len(domains) for domains in forget}
    share = wrong(APART, sizes.pop()) if len(sizes) == 1 else None
    measured = (
        "" if share is None else f" (on {100 * share:.0f} % of simulated boards it finds a difference that is none)"
    )
    return (
        "These tasks hide what a domain does where it is retained, so that the t over domains can be too sure"
        f"{measured}. Tasks that forget one domain and tasks that forget several would show it together."
    )
