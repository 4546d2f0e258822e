"""The committed error rates that `adu_bench.maintenance.simulation` measured."""

from __future__ import annotations

from functools import cache

import pandas as pd

from adu_bench.core.paths import RESOURCES
from adu_bench.stats.estimates import FEWEST_DOMAINS, ForgetSets, tells_roles_apart

MEASURED = RESOURCES / "statistics" / "measured.csv"
ALL, ALONE = "all tasks", "tasks that forget 1 domain"
APART = "t over domains, of tasks of this size alone"
"""`adu_bench.stats.estimates.over_domains` if all tasks have the same number of forget domains."""
USUAL = "as measured"
"""The scenario whose effects have the sizes of a real board."""


def view_name(size: int | None) -> str:
    """Return the table's name for the tasks that forget ``size`` domains (None: all tasks)."""
    return ALL if size is None else ALONE if size == 1 else f"tasks that forget {size} domains"


def wrong(procedure: str, size: int | None, scenario: str = USUAL) -> float | None:
    """Return the share of simulated boards, 0..1, on which a procedure was wrong; None if it was not measured."""
    table = _table()
    chosen = (table["procedure"] == procedure) & (table["view"] == view_name(size)) & (table["scenario"] == scenario)
    return float(table.loc[chosen, "wrong"].iloc[0]) if chosen.any() else None


@cache
def _table() -> pd.DataFrame:
    return pd.read_csv(MEASURED)


def caveat(forget: ForgetSets) -> str:
    """Return why intervals for other domains may be too narrow with these forget sets; empty if they are not."""
    if len(set().union(*forget)) < FEWEST_DOMAINS or tells_roles_apart(forget):
        return ""
    sizes = {len(domains) for domains in forget}
    share = wrong(APART, sizes.pop()) if len(sizes) == 1 else None
    measured = "" if share is None else f" (it reports a false difference on {100 * share:.0f} % of simulated boards)"
    return (
        "These tasks do not show the effect of a domain where it is retained, so the interval of the t over domains "
        f"may be too narrow{measured}. Tasks that forget one domain, together with tasks that forget several, would "
        "show it."
    )
