"""Means over tasks that share domains and seeds, each with an interval that holds for what it speaks about.

Fourteen tasks over four domains are not fourteen independent trials: what a method does with one domain shows in every
task, since every task either forgets the domain or retains it.  Two questions have to be kept apart.

`over_domains` asks what to expect on *other domains* of the kind.  For and Mem are means over the domains that a task
forgets and over those that it retains, so a task is taken to show the mean effect of the former plus the mean effect of
the latter.  A mean over all tasks then rests, for each domain, on the sum of its two effects.  Tasks that forget few
domains and tasks that forget many tell the two apart; the spread of the fitted sums gives Student's t with one degree
of freedom less than there are domains.  Where all tasks forget equally many, the two roles cannot be told apart
(`tells_roles_apart`), and the interval holds only if a domain matters little to tasks that retain it.

`over_seeds` asks what to expect on *these tasks* with new few-shot draws: Student's t over the means of the seeds,
which is right however the seeds' effects are shared among tasks.

How often both are right on boards with such dependence is measured by `adu_bench.maintenance.simulation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.special import stdtr, stdtrit  # scipy.stats would take a second to import, and every board needs these two

LEVEL = 0.05
"""Tests are made at this level, intervals cover one minus it."""
FEWEST_DOMAINS = 3
"""With two domains the 95 % interval is thirteen standard errors wide to each side."""
FEWEST_SEEDS = 3
_NOTHING = 1e-12
"""Spreads below this are rounding errors of equal values."""
_CUTOFF = 1e-10
"""Singular values of designs below this share of the largest one count as zero."""

ForgetSets = Sequence[Sequence[str]]
"""The domains that each task forgets."""
View = Sequence[bool] | np.ndarray | None
"""Which tasks are looked at; all if None."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval and the test of zero.

    Parameters
    ----------
    value
        The mean.
    low, high
        95 % interval; None where there is too little to say.
    p
        Two-sided p-value of the mean being zero; None likewise.
    error
        Standard error; None likewise.
    df
        Degrees of freedom.
    units
        How many domains or seeds it rests on.
    tasks
        How many tasks were averaged.
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
        """Return the same certainty about another value."""
        if self.error is None:
            return replace(self, value=value)
        return student(value, self.error, self.df, self.units, self.tasks)

    def within(self, low: float, high: float) -> Estimate:
        """Return the estimate with its interval cut to the possible values."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(low, self.low), high=min(high, self.high))


def over_domains(values: np.ndarray, forget: ForgetSets, view: View = None) -> Estimate:
    """Estimate a mean over tasks as one of other domains, from few tasks that share them.

    Parameters
    ----------
    values
        One value a task (T,), for example a difference of two methods, averaged over seeds.
    forget
        What each task forgets.
    view
        Which tasks to average (all if None); the others still help to tell how far domains differ.

    Notes
    -----
    The squared standard error is the variance of the fitted sums of a domain's two effects, divided by the number of
    domains.  The fit adds noise of single tasks, so that the interval is too wide where domains hardly differ.  Where
    roles cannot be told apart it is the ordinary t-test over tasks that share no forget domain; otherwise an effect of
    each domain is fitted that all tasks show which forget it.  It is never below what the noise of single tasks gives.
    """
    values = np.asarray(values, dtype=float)
    chosen = np.ones(len(values), bool) if view is None else np.asarray(view, bool)
    value, tasks = float(values[chosen].mean()), int(chosen.sum())
    fit = _fit_to(forget, view)
    if isinstance(fit, int):
        reason = f"Too few domains: {fit} can be told apart, an interval takes {FEWEST_DOMAINS}."
        return Estimate(value, None, None, None, None, max(fit - 1, 0), fit, tasks, reason)
    domains = len(fit.effects)
    return student(value, float(fit.error(values)), domains - 1, domains, tasks)


def errors_over_domains(values: np.ndarray, forget: ForgetSets, view: View = None) -> np.ndarray:
    """Return the standard errors that `over_domains` gives, for many sets of values (..., T) at once."""
    fit = _fit_to(forget, view)
    assert isinstance(fit, _Fit)
    return fit.error(values)


def over_seeds(values: np.ndarray) -> Estimate:
    """Estimate a mean over tasks as one of new seeds on the same tasks.

    Parameters
    ----------
    values
        One value a task and seed (T, R); the seeds are the same for all tasks.
    """
    means = np.asarray(values, dtype=float).mean(axis=0)
    tasks, seeds = len(values), len(means)
    if seeds < FEWEST_SEEDS:
        reason = f"Too few seeds: there {'is' if seeds == 1 else 'are'} {seeds}, an interval takes {FEWEST_SEEDS}."
        return Estimate(float(means.mean()), None, None, None, None, max(seeds - 1, 0), seeds, tasks, reason)
    error = float(means.std(ddof=1) / np.sqrt(seeds))
    return student(float(means.mean()), error, seeds - 1, seeds, tasks)


def student(value: float, error: float, df: int, units: int, tasks: int) -> Estimate:
    """Build the estimate of a mean with a standard error of so many degrees of freedom."""
    if error < _NOTHING:
        return Estimate(value, value, value, float(abs(value) < _NOTHING), 0.0, df, units, tasks)
    half = quantile(df) * error
    p = float(2 * stdtr(df, -abs(value) / error))
    return Estimate(value, value - half, value + half, p, error, df, units, tasks)


def quantile(df: float, level: float = LEVEL) -> float:
    """Return the two-sided quantile of Student's t."""
    return float(stdtrit(df, 1 - level / 2))


def noise_share(forget: ForgetSets, view: View = None) -> float:
    """Return how much of a variance of single tasks is in the squared standard error that `over_domains` gives."""
    fit = _fit_to(forget, view)
    return float("nan") if isinstance(fit, int) else fit.factor * fit.noise


@dataclass(frozen=True)
class _Fit:
    """How to get centred domain effects (K,) from values (T,), and the share of their variance that the mean has.

    ``noise`` is the variance of the effects for a variance of one a task.
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
    """Choose what to measure the spread of domains by; returns the number of domains where they are too few."""
    domains = sorted(set().union(*forget)) if forget else []
    chosen = np.flatnonzero(view)
    gone = membership(forget)
    count = len(chosen)
    if len(domains) >= FEWEST_DOMAINS and (sums := _sums(gone)) is not None:
        # How the mean's variance follows from that of the sums, if the two effects of a domain have equal variances.
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
    """Return whether tasks tell what a domain does where it is forgotten from what it does where it is retained."""
    return _sums(membership(forget)) is not None


def membership(forget: ForgetSets) -> np.ndarray:
    """Return which domain, by name, each task forgets: ones and zeros (T, K)."""
    domains = sorted(set().union(*forget))
    return np.array([[domain in task for domain in domains] for task in forget], dtype=float)


def roles(gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each domain (T, K) in the means over forget domains and over retained ones."""
    kept = 1 - gone
    return tuple(role / np.maximum(role.sum(axis=1, keepdims=True), 1) for role in (gone, kept))  # type: ignore[return-value]


def _sums(gone: np.ndarray) -> np.ndarray | None:
    """Return the least-squares fit (K, T) of the sum of a domain's two effects; None if tasks do not tell it."""
    forgotten, retained = roles(gone)
    count = gone.shape[1]
    design = within_sizes(np.hstack([forgotten + retained, forgotten - retained]) / 2, gone)
    if np.linalg.matrix_rank(design, rtol=_CUTOFF) < 2 * (count - 1):
        return None
    return pseudo_inverse(design)[:count]


def _effects(gone: np.ndarray) -> np.ndarray | None:
    """Return the least-squares fit (K, T) of an effect in all tasks that forget a domain; None if tasks do not tell."""
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
    """Return columns (T, n) less their means over tasks that forget as many domains: each number has its own level."""
    centred, sizes = columns.copy(), gone.sum(axis=1)
    for size in set(sizes.tolist()):
        centred[sizes == size] -= centred[sizes == size].mean(axis=0)
    return centred
