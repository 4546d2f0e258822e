"""Means over tasks with their uncertainty on these tasks: few-shot draws (seeds) and the finite test images.

Two samples stand behind a board: the seeds, which draw the few-shot images and the randomness of training, and the test
images.  They are crossed, because all seeds see the same test images.  The variance of a mean is the sum

    variance = seeds + images - interaction

of the variance of the seeds' means over their number; of the variance of the images' influences (see
`adu_bench.stats.sample`), averaged over seeds; and of what single answers of single seeds add, which is in both.  The
interaction is known well, since it comes from all clusters of images, so the seeds' part never counts less than it.

Intervals are those of Student's t.  Its degrees of freedom lie between those of the two parts, R - 1 for R seeds and
G - 1 for G clusters of images; their reciprocals are averaged with the parts' shares of the variance as weights.
Satterthwaite's formula squares these shares.  With three seeds that separates methods without a true difference on up
to 24 % of boards, since the seeds' part is small by chance where the difference seems large
(`adu_bench.maintenance.simulation`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit  # scipy.stats takes a second to import, and every board needs these

LEVEL = 0.05
"""Level of all tests; intervals have a coverage of one minus it."""
FEWEST_SEEDS = 3
_NOTHING = 1e-9
"""Standard errors below this are rounding errors of equal values (influences are float32)."""


Parts = tuple[float | None, float | None, float | None]
"""Standard errors due to seeds, to test images, and to what is in both."""


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
        Degrees of freedom of Student's t, not an integer as a rule; None likewise.
    tasks
        Number of tasks averaged.
    seeds, images, interaction
        The standard errors due to seeds, due to test images, and due to what is in both; None where not estimated.
    reason
        Why there is no interval; empty if there is one.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    error: float | None
    df: float | None
    tasks: int
    seeds: float | None = None
    images: float | None = None
    interaction: float | None = None
    reason: str = ""

    def within(self, low: float, high: float) -> Estimate:
        """Return the estimate with its interval clipped to the possible values."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(low, self.low), high=min(high, self.high))


def on_these_tasks(means: np.ndarray, influences: np.ndarray, tasks: int) -> Estimate:
    """Estimate the mean over these tasks for other seeds and other test images.

    Parameters
    ----------
    means
        Means over tasks by seed, float (R,).
    influences
        Influences of the clusters of test images, averaged over tasks, float (R, G); they sum to zero over clusters.
    tasks
        Number of tasks.
    """
    means, influences = np.asarray(means, dtype=float), np.asarray(influences, dtype=float)
    value, (count, clusters) = float(means.mean()), influences.shape
    if count < FEWEST_SEEDS or clusters < 2 or not np.isfinite(value):
        return Estimate(value, None, None, None, None, None, tasks, reason=_too_few(count))
    seeds = float(means.var(ddof=1)) / count
    average = influences.mean(axis=0)
    scale = clusters / (clusters - 1)
    images = scale * float((average**2).sum())
    interaction = scale * float(((influences - average) ** 2).sum()) / (count - 1) / count
    return combined(value, seeds, images, interaction, (count - 1, clusters - 1), tasks)


def combined(
    value: float, seeds: float, images: float, interaction: float, df: tuple[int, int], tasks: int
) -> Estimate:
    """Return the estimate of a mean from the variances of its seeds' and images' parts.

    Parameters
    ----------
    value
        The mean.
    seeds, images, interaction
        Its variance due to seeds, due to test images, and what is in both.
    df
        Degrees of freedom of the seeds' and of the images' part.
    tasks
        Number of tasks.
    """
    parts = max(seeds, interaction), max(images - interaction, 0.0)
    own = float(np.sqrt(seeds)), float(np.sqrt(images)), float(np.sqrt(interaction))
    variance = sum(parts)
    freedom = variance / (parts[0] / df[0] + parts[1] / df[1]) if variance > 0 else float(df[1])
    return student(value, float(np.sqrt(variance)), freedom, tasks, own)


def student(value: float, error: float, df: float, tasks: int, parts: Parts = (None, None, None)) -> Estimate:
    """Return the estimate of a mean from its standard error, which has ``df`` degrees of freedom."""
    if error < _NOTHING:
        return Estimate(value, value, value, float(abs(value) < _NOTHING), 0.0, df, tasks, *parts)
    half = quantile(df) * error
    p = float(2 * stdtr(df, -abs(value) / error))
    return Estimate(value, value - half, value + half, p, error, df, tasks, *parts)


def _too_few(seeds: int) -> str:
    if seeds >= FEWEST_SEEDS:
        return "Too few test images: an interval needs some of forget and of retain domains."
    return f"Too few seeds: there {'is' if seeds == 1 else 'are'} {seeds}; an interval needs {FEWEST_SEEDS}."


def quantile(df: float, level: float = LEVEL) -> float:
    """Return the two-sided quantile of Student's t at a level."""
    return float(stdtrit(df, 1 - level / 2))
