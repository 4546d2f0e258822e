"""Means on other domains: the simplest statistic that few domains allow, and what it cannot tell.

A method treats a domain in one way where it is forgotten and in another where it is kept, and a mean over tasks depends
on the sum of the two.  For each domain d, the average of the task that forgets d alone and of the task that keeps d
alone shows this sum; the spread over K domains gives Student's t with K - 1 degrees of freedom.  Since the other
domains have the other role in the same two tasks, such averages differ by (K - 2) / (2 (K - 1)) of what the sums differ
by, and their spread is divided by this.  With four domains the interval is that of a least-squares fit of both effects
to all tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adu_bench.stats.chance import detectable
from adu_bench.stats.estimates import Estimate, student

FEWEST_DOMAINS = 3
"""With two domains the 95 % interval is thirteen standard errors wide on each side."""

ForgetSets = Sequence[Sequence[str]]
"""The forget domains of each task."""


@dataclass(frozen=True)
class OtherDomains:
    """A mean on other domains of the kind.

    Parameters
    ----------
    estimate
        The mean over all tasks with its interval; None where the tasks do not allow one.
    domains
        Number of domains.
    spread
        Standard deviation over the domains of the sum of a domain's two effects; None likewise.
    reason
        Why there is no estimate; empty if there is one.
    """

    estimate: Estimate | None
    domains: int
    spread: float | None = None
    reason: str = ""

    @property
    def detectable(self) -> float | None:
        """The smallest difference that this many domains show with 80 % power; None without an estimate."""
        if self.spread is None:
            return None
        return detectable(self.spread / np.sqrt(self.domains), self.domains - 1)


def on_other_domains(values: np.ndarray, forget: ForgetSets, domains: Sequence[str]) -> OtherDomains:
    """Estimate the mean for other domains.

    Parameters
    ----------
    values
        One value per task (T,), averaged over seeds.
    forget
        The forget domains of each task.
    domains
        All domains of the data set (K).
    """
    averages = by_domain(values, forget, domains)
    if len(domains) < FEWEST_DOMAINS:
        return OtherDomains(None, len(domains), reason=f"an interval needs {FEWEST_DOMAINS} domains")
    if averages is None:
        reason = "an interval needs, for each domain, the task that forgets it alone and the one that keeps it alone"
        return OtherDomains(None, len(domains), reason=reason)
    count = len(domains)
    spread = float(averages.std(ddof=1)) * 2 * (count - 1) / (count - 2)
    error = spread / float(np.sqrt(len(domains)))
    value = float(np.mean(values))
    return OtherDomains(student(value, error, len(domains) - 1, len(values)), len(domains), spread)


def by_domain(values: np.ndarray, forget: ForgetSets, domains: Sequence[str]) -> np.ndarray | None:
    """Return for each domain the average (K,) of the task that forgets it alone and of the one that keeps it alone.

    None where such a task is missing.
    """
    found = {frozenset(own): value for own, value in zip(forget, values, strict=True)}
    pairs = [(frozenset({own}), frozenset(domains) - {own}) for own in domains]
    if not all(one in found and two in found for one, two in pairs):
        return None
    return np.array([(found[one] + found[two]) / 2 for one, two in pairs], dtype=float)
