"""The results of a study: one row per method and value of the variable."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from adu_bench.metrics.evidence import harmonic
from adu_bench.metrics.frame import Scorable, score
from adu_bench.runner.plan import Plan

COLUMNS = ("variable", "value", "method", "mem", "for", "h_mean", "h_of_means", "tasks", "runs", "planned")


def curves(plan: Plan, found: Iterable[Scorable]) -> pd.DataFrame:
    """Average the runs of a study's points.

    Parameters
    ----------
    plan
        A plan with points, see `adu_bench.runner.plan.plan_study`.
    found
        Finished runs; runs of other plans are ignored.

    Returns
    -------
    DataFrame
        As `curves_of` returns it.
    """
    wanted = {key for point in plan.points for key in point.keys}
    return curves_of(plan, score([run for run in found if run.key in wanted], plan.suite.name))


def curves_of(plan: Plan, frame: pd.DataFrame) -> pd.DataFrame:
    """Average the measures of a study's points.

    Parameters
    ----------
    plan
        A plan with points.
    frame
        Measures of runs, see `adu_bench.metrics.frame.score`, also of other runs.

    Returns
    -------
    DataFrame
        One row per point with at least one run, in the order of the study: variable, value, method; Mem, For, mean of H
        and H of means (fractions; averaged over seeds, then over tasks); the numbers of tasks, of finished runs and of
        planned runs.
    """
    wide = frame.pivot(index="key", columns="metric", values="value").reindex(columns=["mem", "for", "h"])
    tasks = frame.groupby("key")["task"].first()
    rows = []
    for point in plan.points:
        own = [key for key in point.keys if key in wide.index]
        if own:
            by_task = wide.loc[own].groupby(tasks.loc[own]).mean()
            means = by_task.mean()
            mem, for_ = float(means["mem"]), float(means["for"])
            shown = "" if point.value is None else point.value
            counts = (len(by_task), len(own), len(point.keys))
            rows.append(
                (point.variable, shown, point.method, mem, for_, float(means["h"]), harmonic(mem, for_), *counts)
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))
