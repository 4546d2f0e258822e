"""Means over tasks that share domains and seeds, with intervals for other domains and for other seeds.

Fourteen tasks over four domains are not fourteen independent trials: a method's behaviour on one domain affects every
task, because every task either forgets the domain or retains it.  There are two different questions.

`over_domains` estimates the mean on *other domains* of the kind.  For and Mem are means over the domains that a task
forgets and over those that it retains, so the model of a task is the mean effect of the former plus the mean effect of
the latter.  A mean over all tasks then depends, for each domain, on the sum of its two effects.  Tasks with few forget
domains and tasks with many identify the two effects; the spread of the fitted sums gives Student's t with one degree of
freedom less than there are domains.  If all tasks have the same number of forget domains, the two effects are not
identified (`tells_roles_apart`), and the interval is valid only if a domain has little effect on tasks that retain it.

`over_seeds` estimates the mean on *these tasks* with new few-shot draws: Student's t over the means of the seeds, which
is valid for any dependence of the seeds' effects between tasks.

`adu_bench.maintenance.simulation` measures the error rates of both on boards with this dependence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.special import stdtr, stdtrit  # scipy.stats takes a second to import, and every board needs these

LEVEL = 0.05
"""Level of all tests; intervals have a coverage of one minus it."""
FEWEST_DOMAINS = 3
"""With two domains the 95 % interval is thirteen standard errors wide on each side."""
FEWEST_SEEDS = 3
_NOTHING = 1e-12
"""Standard errors below this are rounding errors of equal values."""
_CUTOFF = 1e-10
"""Singular values of designs below this share of the largest one count as zero."""

ForgetSets = Sequence[Sequence[str]]
"""The forget domains of each task."""
View = Sequence[bool] | np.ndarray | None
"""Which tasks to use, as a mask; all if None."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval and the test that it is zero.

    Parameters
    ----------
    value
        The mean.
    low, high
        95 % interval; None if there are too few units.
    p
        Two-sided p-value of the hypothesis that the mean is zero; None likewise.
    error
        Standard error; None likewise.
    df
        Degrees of freedom.
    units
        Number of domains or seeds behind the estimate.
    tasks
        Number of tasks averaged.
    reason
        Why there is no interval; empty if there is one.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    error: float | None
    df: int
    units: int
    tasks: int
    reason: str = ""

    def around(self, value: float) -> Estimate:
        """Return an estimate of another value with the same standard error."""
        if self.error is None:
            return replace(self, value=value)
        return student(value, self.error, self.df, self.units, self.tasks)

    def within(self, low: float, high: float) -> Estimate:
        """Return the estimate with its interval clipped to the possible values."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(low, self.low), high=min(high, self.high))


def over_domains(values: np.ndarray, forget: ForgetSets, view: View = None) -> Estimate:
    """Estimate the mean over tasks for other domains, from tasks that share domains.

    Parameters
    ----------
    values
        One value per task (T,), for example a difference of two methods, averaged over seeds.
    forget
        The forget domains of each task.
    view
        Which tasks to average (all if None); the others still help to estimate how much domains differ.

    Notes
    -----
    The squared standard error is the variance of the fitted sums of a domain's two effects, divided by the number of
    domains.  The fit adds the noise of single tasks, so the interval is too wide if domains hardly differ.  If the two
    effects are not identified, tasks without a common forget domain get the ordinary t-test; for others one effect per
    domain is fitted, in the tasks that forget it.  The error is never below that of the mean of independent tasks.
    """
    values = np.asarray(values, dtype=float)
    chosen = np.ones(len(values), bool) if view is None else np.asarray(view, bool)
    value, tasks = float(values[chosen].mean()), int(chosen.sum())
    fit = _fit_to(forget, view)
    if isinstance(fit, int):
        reason = f"Too few domains: {fit} can be distinguished; an interval needs {FEWEST_DOMAINS}."
        return Estimate(value, None, None, None, None, max(fit - 1, 0), fit, tasks, reason)
    domains = len(fit.effects)
    return student(value, float(fit.error(values)), domains - 1, domains, tasks)


def errors_over_domains(values: np.ndarray, forget: ForgetSets, view: View = None) -> np.ndarray:
    """Return the standard errors (...) of `over_domains` for many sets of values (..., T)."""
    fit = _fit_to(forget, view)
    assert isinstance(fit, _Fit)
    return fit.error(values)


def over_seeds(values: np.ndarray) -> Estimate:
    """Estimate the mean over these tasks for new seeds.

    Parameters
    ----------
    values
        One value per task and seed (T, R); all tasks have the same seeds.
    """
    means = np.asarray(values, dtype=float).mean(axis=0)
    value, tasks, seeds = float(means.mean()), len(values), len(means)
    if seeds < FEWEST_SEEDS:
        return too_few_seeds(value, seeds - 1, seeds, tasks)
    return student(value, float(means.std(ddof=1) / np.sqrt(seeds)), seeds - 1, seeds, tasks)


def too_few_seeds(value: float, df: int, seeds: int, tasks: int) -> Estimate:
    """Return an estimate without an interval and its reason."""
    reason = f"Too few seeds: there {'is' if seeds == 1 else 'are'} {seeds}; an interval needs {FEWEST_SEEDS}."
    return Estimate(value, None, None, None, None, df, seeds, tasks, reason)


def student(value: float, error: float, df: int, units: int, tasks: int) -> Estimate:
    """Return the estimate of a mean from its standard error, which has ``df`` degrees of freedom."""
    if error < _NOTHING:
        return Estimate(value, value, value, float(abs(value) < _NOTHING), 0.0, df, units, tasks)
    half = quantile(df) * error
    p = float(2 * stdtr(df, -abs(value) / error))
    return Estimate(value, value - half, value + half, p, error, df, units, tasks)


def quantile(df: float, level: float = LEVEL) -> float:
    """Return the two-sided quantile of Student's t at a level."""
    return float(stdtrit(df, 1 - level / 2))


def noise_share(forget: ForgetSets, view: View = None) -> float:
    """Return the factor by which the variance of single tasks enters the squared standard error of `over_domains`."""
    fit = _fit_to(forget, view)
    return float("nan") if isinstance(fit, int) else fit.factor * fit.noise


@dataclass(frozen=True)
class _Fit:
    """Matrix (K, T) that gives centred domain effects (K,) of values (T,).

    ``factor`` times the variance of the effects is the variance of the mean.  ``noise`` is the variance of the effects
    if single tasks have variance one.
    """

    effects: np.ndarray
    factor: float
    noise: float

    def error(self, values: np.ndarray) -> np.ndarray:
        """Return the standard error of the mean of values (..., T)."""
        effects = values @ self.effects.T
        return np.sqrt(self.factor * (effects**2).sum(axis=-1) / (len(self.effects) - 1))


def _fit_to(forget: ForgetSets, view: View) -> _Fit | int:
    chosen = (True,) * len(forget) if view is None else tuple(map(bool, view))
    return _fit(tuple(tuple(sorted(domains)) for domains in forget), chosen)


@cache
def _fit(forget: tuple[tuple[str, ...], ...], view: tuple[bool, ...]) -> _Fit | int:
    """Choose how to estimate the spread of domains; return the number of domains if there are too few."""
    domains = sorted(set().union(*forget)) if forget else []
    chosen = np.flatnonzero(view)
    gone = membership(forget)
    count = len(chosen)
    if len(domains) >= FEWEST_DOMAINS and (sums := _sums(gone)) is not None:
        # The ratio of the mean's variance to that of the sums, if the two effects of a domain have equal variances.
        factor = sum(float(part @ part) for part in (role[chosen].mean(axis=0) for role in roles(gone))) / 2
        return _fit_of(sums, factor, count)
    if sum(len(forget[task]) for task in chosen) == len(set().union(*(forget[task] for task in chosen))):
        if count < FEWEST_DOMAINS:
            return count
        apart = np.zeros((count, len(forget)))
        apart[np.arange(count), chosen] = 1
        return _Fit(apart - np.isin(np.arange(len(forget)), chosen) / count, 1 / count, 1.0)
    effects = _effects(gone)
    if effects is None or len(domains) < FEWEST_DOMAINS:
        return min(len(domains), FEWEST_DOMAINS - 1)
    weights = gone.mean(axis=0)
    return _fit_of(effects, float(weights @ weights), count)


def _fit_of(effects: np.ndarray, factor: float, count: int) -> _Fit:
    noise = float((effects**2).sum() / (len(effects) - 1))
    return _Fit(effects, max(factor, 1 / count / noise), noise)


def tells_roles_apart(forget: ForgetSets) -> bool:
    """Return whether the tasks identify a domain's effect where it is forgotten and where it is retained."""
    return _sums(membership(forget)) is not None


def membership(forget: ForgetSets) -> np.ndarray:
    """Return which domains each task forgets: ones and zeros, float64 (T, K), domains sorted by name."""
    domains = sorted(set().union(*forget))
    return np.array([[domain in task for domain in domains] for task in forget], dtype=float)


def roles(gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of each domain (T, K) in the means over forget domains and over retain domains."""
    kept = 1 - gone
    return tuple(role / np.maximum(role.sum(axis=1, keepdims=True), 1) for role in (gone, kept))  # type: ignore[return-value]


def _sums(gone: np.ndarray) -> np.ndarray | None:
    """Return the least-squares fit (K, T) of the sum of a domain's two effects; None if it is not identified."""
    forgotten, retained = roles(gone)
    count = gone.shape[1]
    design = within_sizes(np.hstack([forgotten + retained, forgotten - retained]) / 2, gone)
    if np.linalg.matrix_rank(design, rtol=_CUTOFF) < 2 * (count - 1):
        return None
    return pseudo_inverse(design)[:count]


def _effects(gone: np.ndarray) -> np.ndarray | None:
    """Return the least-squares fit (K, T) of a domain's effect where it is forgotten; None if it is not identified."""
    centred = within_sizes(gone, gone)
    if np.linalg.matrix_rank(centred, rtol=_CUTOFF) < gone.shape[1] - 1:
        return None
    return pseudo_inverse(centred)


def pseudo_inverse(design: np.ndarray) -> np.ndarray:
    """Return the pseudo-inverse (n, T) of a design (T, n), most of which do not have full rank.

    From 10 domains on, rounding errors of the zero singular values exceed numpy's default cut-off, which would invert
    them.  The smallest true one is above 1e-2 of the largest with up to 33 domains.
    """
    return np.linalg.pinv(design, rcond=_CUTOFF)


def within_sizes(columns: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return columns (T, n) less their means over the tasks with the same number of forget domains."""
    centred, sizes = columns.copy(), gone.sum(axis=1)
    for size in set(sizes.tolist()):
        centred[sizes == size] -= centred[sizes == size].mean(axis=0)
    return centred
