"""The results of a study: one row per method and value of the variable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan

import pandas as pd

from adu_bench.metrics.evidence import harmonic
from adu_bench.metrics.frame import Scorable, score
from adu_bench.runner.plan import Plan
from adu_bench.stats.sample import samples

COLUMNS = (
    *("variable", "value", "method", "mem", "for", "h_mean", "h_of_means", "tasks", "runs", "planned"),
    *("h_low", "h_high"),
)


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
    runs = [run for run in found if run.key in wanted]
    return curves_of(plan, score(runs, plan.suite.name), runs)


def curves_of(plan: Plan, frame: pd.DataFrame, runs: Sequence[Scorable]) -> pd.DataFrame:
    """Average the measures of a study's points.

    Parameters
    ----------
    plan
        A plan with points.
    frame
        Measures of runs, see `adu_bench.metrics.frame.score`, also of other runs.
    runs
        The runs of the points, and perhaps others.

    Returns
    -------
    DataFrame
        One row per point with at least one run, in the order of the study: variable, value, method; Mem, For, mean of H
        and H of means (fractions; averaged over seeds, then over tasks); the numbers of tasks, of finished runs and of
        planned runs; the ends of the 95 % interval of the mean of H, NaN for points that are not complete or have too
        few seeds.
    """
    intervals = _intervals(plan, runs)
    wide = frame.pivot(index="key", columns="metric", values="value").reindex(columns=["mem", "for", "h"])
    tasks = frame.groupby("key")["task"].first()
    rows = []
    for place, point in enumerate(plan.points):
        own = [key for key in point.keys if key in wide.index]
        if own:
            by_task = wide.loc[own].groupby(tasks.loc[own]).mean()
            means = by_task.mean()
            mem, for_ = float(means["mem"]), float(means["for"])
            shown = "" if point.value is None else point.value
            counts = (len(by_task), len(own), len(point.keys))
            rows.append(
                (
                    point.variable,
                    shown,
                    point.method,
                    mem,
                    for_,
                    float(means["h"]),
                    harmonic(mem, for_),
                    *counts,
                    *intervals[place],
                )
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _intervals(plan: Plan, runs: Sequence[Scorable]) -> list[tuple[float, float]]:
    """Return the interval of the mean of H at each point."""
    tasks = {run.spec.key: run.spec.task.name for run in plan.runs}
    found = [(nan, nan)] * len(plan.points)
    # Points of different variables may share runs, so each variable has samples of its own.
    for variable in {point.variable for point in plan.points}:
        places = [place for place, point in enumerate(plan.points) if point.variable == variable]
        views = {place: {tasks[key] for key in plan.points[place].keys} for place in places}
        labels = {key: str(place) for place in places for key in plan.points[place].keys}
        for place, sample in samples(runs, labels, views, ("h",)).items():
            own = sample.mean(str(place)) if str(place) in sample.methods else None
            if own is not None and own.low is not None and own.high is not None:
                found[place] = (own.low, own.high)
    return found
