"""Summary of one method: mean, interquartile mean and worst task, each with a 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from adu_bench.stats.estimates import (
    FEWEST_SEEDS,
    LEVEL,
    Estimate,
    ForgetSets,
    View,
    over_domains,
    quantile,
    too_few_seeds,
)


@dataclass(frozen=True)
class Summary:
    """Summary of a method on some tasks.

    Parameters
    ----------
    mean, middle
        Mean and interquartile mean over tasks as estimates for other domains, see
        `adu_bench.stats.estimates.over_domains`.  Both have the mean's standard error, because effects of domains shift
        both alike; the simulation measures the error rate.
    worst
        The worst of these tasks, for new seeds.
    worst_task
        Its position.
    """

    mean: Estimate
    middle: Estimate
    worst: Estimate
    worst_task: int


def summarise(values: np.ndarray, forget: ForgetSets, view: View = None) -> Summary:
    """Summarise a method's values in 0..1.

    Parameters
    ----------
    values
        One value per task and seed (T, R).
    forget, view
        As for `adu_bench.stats.estimates.over_domains`.
    """
    values = np.asarray(values, dtype=float)
    chosen = np.flatnonzero(np.ones(len(values), bool) if view is None else np.asarray(view, bool))
    by_task = values.mean(axis=1)
    mean = over_domains(by_task, forget, view)
    middle = mean.around(interquartile_mean(by_task[chosen]))
    lowest = worst(values[chosen])
    return Summary(mean.within(0, 1), middle.within(0, 1), lowest.within(0, 1), int(chosen[by_task[chosen].argmin()]))


def interquartile_mean(values: np.ndarray) -> float:
    """Return the mean without the lowest and the highest quarter (Agarwal et al. 2021; `scipy.stats.trim_mean`)."""
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def worst(values: np.ndarray) -> Estimate:
    """Estimate the expected value of the worst task, for new seeds.

    Parameters
    ----------
    values
        One value per task and seed (T, R).

    Notes
    -----
    The seeds' variance is pooled over tasks.  The lowest of several means is on average below the worst task's true
    mean, so the upper end is corrected for the number of tasks that could be the worst.
    """
    tasks, seeds = values.shape
    means = values.mean(axis=1)
    value, df = float(means.min()), tasks * (seeds - 1)
    if seeds < FEWEST_SEEDS:
        return too_few_seeds(value, df, seeds, tasks)
    error = float(np.sqrt(values.var(axis=1, ddof=1).mean() / seeds))
    half = quantile(df) * error
    rivals = int((means <= value + np.sqrt(2) * half).sum())
    upper = float(stdtrit(df, 1 - LEVEL / 2 / rivals)) * error
    return Estimate(value, value - half, value + upper, None, error, df, seeds, tasks)
