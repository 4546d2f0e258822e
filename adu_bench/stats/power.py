"""Power of a comparison: the detectable difference, and the number of domains, tasks or seeds for a smaller one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.special import chdtri, nctdtr

from adu_bench.stats.estimates import (
    FEWEST_DOMAINS,
    FEWEST_SEEDS,
    LEVEL,
    noise_share,
    over_domains,
    over_seeds,
    quantile,
)
from adu_bench.stats.scores import Scores, views_of

POWER = 0.8
"""Share of repetitions in which a detectable difference is found."""
_MOST = 1_000
"""Largest number of domains or seeds that is tried."""


@dataclass(frozen=True)
class Power:
    """Power of the comparison of two methods on the tasks with a given number of forget domains.

    Parameters
    ----------
    size
        Number of forget domains, None for all tasks.
    domains, tasks, seeds
        Their numbers.
    detectable
        Smallest difference that is found with 80 % power, for other domains; None if there are too few.
    detectable_low, detectable_high
        Its 95 % interval; the spread of few domains is not known well.
    detectable_here
        The same on these tasks for new seeds.
    domains_needed, tasks_needed
        Numbers of domains, and of tasks of the same sizes over them, that find the wanted difference with as many seeds
        as now; None if a thousand domains do not.
    seeds_needed
        Number of seeds that find it with these domains; None if no number does, because domains differ.
    seeds_needed_here
        Number of seeds that find it on these tasks.
    """

    size: int | None
    domains: int
    tasks: int
    seeds: int
    detectable: float | None
    detectable_low: float | None
    detectable_high: float | None
    detectable_here: float | None
    domains_needed: int | None
    tasks_needed: int | None
    seeds_needed: int | None
    seeds_needed_here: int | None


def power_of(pair: Scores, wanted: float, only: int | None = None) -> list[Power]:
    """Return the power of the comparison of two methods for each number of forget domains and for all tasks.

    Parameters
    ----------
    pair
        One metric of the two methods.
    wanted
        The difference that is to be found.
    only
        Only tasks with this number of forget domains; all if None.
    """
    return [_power(pair, size, wanted) for size in views_of(pair.sizes, only)]


def _power(pair: Scores, size: int | None, wanted: float) -> Power:
    values, view = pair.values[0] - pair.values[1], pair.view(size)
    domains, here = over_domains(values.mean(axis=1), pair.forget, view), over_seeds(values[view])
    seeds = len(pair.seeds)
    sizes = pair.sizes if size is None else (size,)
    found = detectable(domains.error, domains.df)
    low, high = _spread_interval(domains.df) if found is not None else (None, None)
    most = None
    if domains.error is not None:
        spread = domains.error * np.sqrt(domains.units)
        most = _first(lambda count: chance(wanted, spread / np.sqrt(count), count - 1), FEWEST_DOMAINS)
    return Power(
        size=size,
        domains=domains.units,
        tasks=domains.tasks,
        seeds=seeds,
        detectable=found,
        detectable_low=None if found is None or low is None else low * found,
        detectable_high=None if found is None or high is None else high * found,
        detectable_here=detectable(here.error, here.df),
        domains_needed=most,
        tasks_needed=None if most is None else sum(comb(most, own) for own in sizes),
        seeds_needed=_seeds_needed(values, pair.forget, view, wanted),
        seeds_needed_here=_seeds_needed_here(here.error, seeds, wanted),
    )


def chance(difference: float, error: float, df: int) -> float:
    """Return the power, 0..1, of a two-sided t-test to find a difference in its direction."""
    if error <= 0:
        return float(difference != 0)
    critical, shift = quantile(df), abs(difference) / error
    if shift > 40:
        # The non-central distribution cannot be computed here, and the power is 1 for all degrees of freedom in use.
        return 1.0
    return float(1 - nctdtr(df, shift, critical))


def detectable(error: float | None, df: int) -> float | None:
    """Return the smallest difference that is found with 80 % power."""
    if error is None or error <= 0:
        return None if error is None else 0.0
    from scipy.optimize import brentq

    return float(error * brentq(lambda shift: chance(shift, 1.0, df) - POWER, 1e-6, 39.0))


def _spread_interval(df: int) -> tuple[float, float]:
    """Return the 95 % interval of the ratio of the true standard deviation to the observed one."""
    return float(np.sqrt(df / chdtri(df, LEVEL / 2))), float(np.sqrt(df / chdtri(df, 1 - LEVEL / 2)))


def _first(chance_with, least: int) -> int | None:
    """Return the smallest number that reaches the power; None if none up to `_MOST` does."""
    return next((count for count in range(least, _MOST + 1) if chance_with(count) >= POWER), None)


def _seeds_needed(values: np.ndarray, forget: Sequence[Sequence[str]], view: np.ndarray, wanted: float) -> int | None:
    """Return the number of seeds that find the difference with these domains; more seeds reduce only the noise."""
    seeds = values.shape[1]
    now = over_domains(values.mean(axis=1), forget, view)
    if now.error is None or seeds < 2:
        return None
    noise = noise_share(forget, view) * float(values.var(axis=1, ddof=1).mean())

    rest = max(now.error**2 - noise / seeds, 0.0)

    def with_seeds(count: int) -> float:
        variance = rest + noise / count
        return chance(wanted, float(np.sqrt(variance)), now.df)

    return _first(with_seeds, 1) if with_seeds(_MOST) >= POWER else None


def _seeds_needed_here(error: float | None, seeds: int, wanted: float) -> int | None:
    if error is None:
        return None
    spread = error * np.sqrt(seeds)
    return _first(lambda count: chance(wanted, spread / np.sqrt(count), count - 1), FEWEST_SEEDS)
