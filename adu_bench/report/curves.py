"""What a study found: one line a method and value of the variable."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from adu_bench.metrics.frame import Scorable, score
from adu_bench.metrics.measures import harmonic
from adu_bench.runner.plan import Plan

COLUMNS = ("variable", "value", "method", "mem", "for", "h_mean", "h_of_means", "runs", "planned")


def curves(plan: Plan, found: Iterable[Scorable]) -> pd.DataFrame:
    """Average the runs of a study's points.

    Parameters
    ----------
    plan
        A plan with points, see `adu_bench.runner.plan.plan_study`.
    found
        Finished runs, also unrelated ones.

    Returns
    -------
    DataFrame
        One row a point with at least one run, in the order of the study: variable, value, method; Mem, For, mean of H
        and H of means (fractions; seeds first, then tasks); how many of its runs are finished and planned.
    """
    wanted = {key for point in plan.points for key in point.keys}
    frame = score([run for run in found if run.key in wanted], plan.suite.name)
    wide = frame.pivot(index="key", columns="metric", values="value")[["mem", "for", "h"]]
    tasks = frame.groupby("key")["task"].first()
    rows = []
    for point in plan.points:
        own = [key for key in point.keys if key in wide.index]
        if own:
            means = wide.loc[own].groupby(tasks.loc[own]).mean().mean()
            mem, for_ = float(means["mem"]), float(means["for"])
            shown = "" if point.value is None else point.value
            counts = (len(own), len(point.keys))
            rows.append(
                (point.variable, shown, point.method, mem, for_, float(means["h"]), harmonic(mem, for_), *counts)
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))
