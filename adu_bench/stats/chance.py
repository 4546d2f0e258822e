"""The chance that a t-test finds a difference, and the smallest difference that it finds often enough."""

from __future__ import annotations

from scipy.special import nctdtr

from adu_bench.stats.estimates import quantile

POWER = 0.8
"""Share of repetitions in which a detectable difference is found."""


def chance(difference: float, error: float, df: float) -> float:
    """Return the power, 0..1, of a two-sided t-test to find a difference in its direction."""
    if error <= 0:
        return float(difference != 0)
    critical, shift = quantile(df), abs(difference) / error
    if shift > 37:
        # The non-central distribution cannot be computed here, and the power is 1 for all degrees of freedom in use.
        return 1.0
    return float(1 - nctdtr(df, shift, critical))


def detectable(error: float | None, df: float) -> float | None:
    """Return the smallest difference that is found with 80 % power."""
    if error is None or error <= 0:
        return None if error is None else 0.0
    from scipy.optimize import brentq

    return float(error * brentq(lambda shift: chance(shift, 1.0, df) - POWER, 1e-6, 36.0))
