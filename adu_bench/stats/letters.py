"""Tests of many pairs: Holm's correction, and letters for what cannot be told apart."""

from __future__ import annotations

from itertools import combinations
from string import ascii_letters

import numpy as np
import pandas as pd

from adu_bench.stats.estimates import LEVEL


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number by Holm's step-down procedure."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    corrected = np.empty_like(stepped)
    corrected[order] = stepped
    return corrected


def letters(p: pd.DataFrame) -> dict[str, str]:
    """Return compact letters: two methods share a letter exactly if their p-value is not below the level.

    The insert-and-absorb algorithm with its sweep: Piepho 2004, Journal of Computational and Graphical Statistics 13.

    Parameters
    ----------
    p
        p-values (methods x methods); letters are assigned in the order of the methods.

    Returns
    -------
    dict
        Letters by method; empty texts if p-values are NaN.
    """
    # scikit-posthocs would take seconds to import for every board, and does not sweep.
    names = list(p.index)
    values = p.to_numpy(dtype=float)
    if np.isnan(values).any():
        return dict.fromkeys(names, "")
    groups: list[set[int]] = [set(range(len(names)))]
    for one, two in combinations(range(len(names)), 2):
        if values[one, two] < LEVEL:
            split = [group - {gone} for group in groups if {one, two} <= group for gone in (one, two)]
            groups = [group for group in groups if not {one, two} <= group] + split
            groups = [group for group in groups if not any(group < other for other in groups)]
            groups = list(map(set, dict.fromkeys(map(frozenset, groups))))
    groups = sorted(_swept(groups, len(names)), key=sorted)
    return {
        name: "".join(_letter(number) for number, group in enumerate(groups) if place in group)
        for place, name in enumerate(names)
    }


def _swept(groups: list[set[int]], count: int) -> list[set[int]]:
    """Leave out groups whose members share another group in all pairs; the smallest first, so that few remain."""
    members = [sorted(group) for group in sorted(groups, key=lambda group: (len(group), sorted(group)))]
    shared = np.zeros((count, count), dtype=int)
    for own in members:
        shared[np.ix_(own, own)] += 1
    left = []
    for own in members:
        if (shared[np.ix_(own, own)] > 1).all():
            shared[np.ix_(own, own)] -= 1
        else:
            left.append(set(own))
    return left


def _letter(number: int) -> str:
    """Return a to z and A to Z, then the same with a prime: ``a'``."""
    return ascii_letters[number % len(ascii_letters)] + "'" * (number // len(ascii_letters))
