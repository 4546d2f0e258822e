"""Made-up measurements of made-up runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from adu_bench.leaderboard.aspects import BY_CONSTRUCTION, CORE_ATTACKS
from adu_bench.leaderboard.measurements import COLUMNS

CODE = "c" * 20


def everything(attacks: float | Mapping[str, float], fixed: bool = True, lost: float = 0.0, seen: float = 0.5):
    """What all core audits measure of one run: recoveries (by attack, or one for all), losses, and filtered images."""
    recoveries = {name: attacks if isinstance(attacks, float) else attacks.get(name, 0.0) for name in CORE_ATTACKS}
    return recoveries | {
        BY_CONSTRUCTION: float(fixed),
        "disguise/tried:none": 1.0,
        "disguise/tried:grey": seen,
        "disguise/tried:blur": seen,
        "collateral/clean_drop": lost,
        "collateral/corrupted_drop": 2 * lost,
        "collateral/worst_domain": 0.5,
        "collateral/worst_domain_before": 0.5 + lost / 2,
    }


def measured(runs: Iterable[Any], values: Callable[[Any], Mapping[str, float]]) -> pd.DataFrame:
    """Measurements of runs; ``values`` gives those of one run by AUDIT/METRIC."""
    rows = []
    for run in runs:
        head = (run.spec.key, run.label, run.spec.task.name, run.spec.seed)
        rows += [(*head, *name.split("/"), value, 10, CODE) for name, value in values(run).items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))
