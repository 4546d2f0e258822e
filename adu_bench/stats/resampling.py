"""A bootstrap over data sets; it is refused if there are too few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from adu_bench.core.errors import UserError
from adu_bench.stats.estimates import LEVEL, Estimate

FEWEST_DATA_SETS = 6


def cluster_bootstrap(values: Mapping[str, Sequence[float]], resamples: int = 9_999, seed: int = 0) -> Estimate:
    """Estimate the mean over data sets by a bootstrap that draws whole data sets.

    Parameters
    ----------
    values
        The values of each data set's tasks, for example differences of two methods; data sets have equal weights.
    resamples
        Number of draws.
    seed
        Seed of the draws.

    Raises
    ------
    UserError
        With fewer than six data sets, for which all kinds of bootstrap interval are too narrow.

    Notes
    -----
    The interval is the symmetric studentised one; for few units a percentile interval is too narrow
    (`adu_bench.maintenance.simulation` measures both).
    """
    if len(values) < FEWEST_DATA_SETS:
        raise UserError(
            f"There {'is' if len(values) == 1 else 'are'} too few data sets for a bootstrap: {len(values)}.",
            f"A bootstrap over data sets needs {FEWEST_DATA_SETS}; with fewer its intervals are too narrow.",
            "Compare the methods on each suite, or add suites with other data sets.",
        )
    means = np.array([np.mean(own) for own in values.values()])
    count, tasks = len(means), sum(len(own) for own in values.values())
    value, error = float(means.mean()), float(means.std(ddof=1) / np.sqrt(count))
    if error == 0:
        return Estimate(value, value, value, float(value == 0), 0.0, count - 1, count, tasks)
    drawn = means[np.random.default_rng(seed).integers(count, size=(resamples, count))]
    spread = drawn.std(axis=1, ddof=1) / np.sqrt(count)
    # A draw of a single data set has no spread; it counts as outside every interval.
    distance = np.abs(drawn.mean(axis=1) - value)
    studentised = np.divide(distance, spread, out=np.full(resamples, np.inf), where=spread > 0)
    half = float(np.quantile(studentised, 1 - LEVEL)) * error
    p = float(((studentised >= abs(value) / error).sum() + 1) / (resamples + 1))
    return Estimate(value, value - half, value + half, p, error, count - 1, count, tasks)
