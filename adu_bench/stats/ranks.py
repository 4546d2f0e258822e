"""Several methods at once: tests of all pairs, average ranks, and probabilities of improvement.

The valid test is `pairwise`, the t over domains of all pairs with Holm's correction.  The rank tests are given because
readers ask for them.  Their blocks are tasks without a common forget domain; these still share retain domains, so the
tests report false differences too often (`adu_bench.maintenance.simulation` measures how often).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from string import ascii_letters

import numpy as np
import pandas as pd

from adu_bench.stats.estimates import LEVEL, View, over_domains
from adu_bench.stats.measured import wrong
from adu_bench.stats.paired import disjoint, exact_wilcoxon, holm
from adu_bench.stats.scores import Scores

SHUFFLES = 9_999
"""Number of random permutations of methods within blocks for the p-value of Friedman's test."""


@dataclass(frozen=True)
class Ranking:
    """Several methods ranked within tasks; rank 1 is best.

    Parameters
    ----------
    methods
        Best average rank first.
    tasks
        Number of tasks over which ranks are averaged.
    ranks
        Average rank by method, as in a critical-difference diagram.
    blocks
        The blocks of the tests: tasks without a common forget domain.
    friedman, p
        Friedman's statistic, and its p-value from permutations of methods within blocks.
    critical_difference
        Nemenyi's, for average ranks.
    nemenyi, wilcoxon
        p-values of all pairs (methods x methods): Nemenyi's, and exact Wilcoxon with Holm's correction, None if
        there are too few blocks to reach the level after correction.  Neither is valid, see above.
    pairs
        Valid p-values of all pairs, see `pairwise`; NaN off the diagonal if there are too few domains.
    reason
        Why there is no Wilcoxon test; empty if there is one.
    """

    methods: tuple[str, ...]
    tasks: int
    ranks: pd.Series
    blocks: tuple[str, ...]
    friedman: float
    p: float
    critical_difference: float
    nemenyi: pd.DataFrame
    wilcoxon: pd.DataFrame | None
    pairs: pd.DataFrame
    reason: str


def pairwise(block: Scores, view: View = None) -> pd.DataFrame:
    """Test all pairs of methods for other domains, corrected by Holm's procedure.

    Parameters
    ----------
    block
        Any metric.
    view
        Which tasks to average; all if None.

    Returns
    -------
    DataFrame
        p-values (methods x methods), ones on the diagonal; all NaN off it if there are too few domains.
    """
    by_task, count = block.by_task, len(block.methods)
    pairs = list(combinations(range(count), 2))
    found = [over_domains(by_task[one] - by_task[two], block.forget, view).p for one, two in pairs]
    return _matrix(block.methods, holm(np.array([np.nan if p is None else p for p in found], dtype=float)))


def letters(p: pd.DataFrame) -> dict[str, str]:
    """Return compact letters: two methods share a letter exactly if their p-value is not below the level.

    Parameters
    ----------
    p
        p-values (methods x methods); letters are assigned in the order of the methods.

    Returns
    -------
    dict
        Letters by method; empty texts if p-values are NaN.
    """
    # scikit-posthocs, with which a test compares these letters, would take seconds to import for every board.
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
    groups.sort(key=sorted)
    return {
        name: "".join(ascii_letters[number] for number, group in enumerate(groups) if place in group)
        for place, name in enumerate(names)
    }


def rank(block: Scores, view: View = None) -> Ranking:
    """Rank several methods within each task.

    Parameters
    ----------
    block
        A metric of which more is better.
    view
        Which tasks to use; all if None.
    """
    import scikit_posthocs
    from scipy.stats import rankdata

    chosen = np.arange(len(block.tasks)) if view is None else np.flatnonzero(view)
    alone = chosen[disjoint([block.forget[place] for place in chosen])]
    values = block.by_task[:, alone].T
    everywhere = rankdata(-block.by_task[:, chosen].T, axis=1).mean(axis=0)
    mean = pd.Series(everywhere, index=list(block.methods)).sort_values(kind="stable")
    nemenyi = scikit_posthocs.posthoc_nemenyi_friedman(pd.DataFrame(values, columns=list(block.methods)))
    statistic, p = friedman(rankdata(-values, axis=1))
    wilcoxon, reason = _wilcoxon_holm(values, block.methods)
    order = list(mean.index)
    return Ranking(
        methods=tuple(order),
        tasks=len(chosen),
        ranks=mean,
        blocks=tuple(block.tasks[place] for place in alone),
        friedman=statistic,
        p=p,
        critical_difference=critical_difference(len(order), len(alone)),
        nemenyi=nemenyi.loc[order, order],
        wilcoxon=None if wilcoxon is None else wilcoxon.loc[order, order],
        pairs=pairwise(block, view).loc[order, order],
        reason=reason,
    )


def rank_tests(found: Ranking) -> str:
    """Describe the results of Friedman's and Nemenyi's tests and their error rates; empty below 3 blocks."""
    if len(found.blocks) < 3:
        return ""
    methods, p = len(found.methods), "< 0.001" if found.p < 0.001 else f"= {found.p:.3f}"
    shares = [wrong(name, 1) for name in ("Friedman, shuffled", "Nemenyi")]
    measured = " and ".join(f"{100 * share:.0f} %" for share in shares if share is not None)
    apart, pairs = int((found.nemenyi.to_numpy() < LEVEL).sum()) // 2, methods * (methods - 1) // 2
    return (
        f"Over the {len(found.blocks)} tasks without a common forget domain, Friedman's permutation test (p {p}) and "
        f"Nemenyi's test (critical difference {found.critical_difference:.2f}, {apart} of {pairs} pairs differ) are "
        "not valid, because these tasks share retain domains: they report false differences on "
        f"{measured} of simulated boards."
    )


def friedman(ranks: np.ndarray, seed: int = 0, shuffles: int = SHUFFLES) -> tuple[float, float]:
    """Return Friedman's statistic of ranks (blocks, methods), corrected for ties, and its p-value.

    The p-value comes from permutations of the ranks within blocks, because chi-square is inaccurate for few blocks.
    """
    observed = float(_friedman_statistic(ranks))
    beyond = (_shuffled(tuple(map(tuple, np.sort(ranks, axis=1))), seed, shuffles) >= observed - 1e-9).sum()
    return observed, float((beyond + 1) / (shuffles + 1))


@lru_cache(maxsize=8)
def _shuffled(blocks: tuple[tuple[float, ...], ...], seed: int, shuffles: int) -> np.ndarray:
    """Return the statistic of random permutations of the blocks' ranks; without ties it is the same for all data."""
    ranks = np.array(blocks)
    order = np.random.default_rng(seed).random((shuffles, *ranks.shape)).argsort(axis=2)
    return _friedman_statistic(np.take_along_axis(np.broadcast_to(ranks, order.shape), order, axis=2))


def _friedman_statistic(ranks: np.ndarray) -> np.ndarray:
    """Return Friedman's statistic of ranks (..., blocks, methods); zero if everything is tied."""
    blocks, methods = ranks.shape[-2:]
    between = ((ranks.sum(axis=-2) - blocks * (methods + 1) / 2) ** 2).sum(axis=-1)
    within = ((ranks - (methods + 1) / 2) ** 2).sum(axis=(-1, -2))
    return np.where(within > 0, (methods - 1) * between / np.where(within > 0, within, 1), 0.0)


def critical_difference(methods: int, blocks: int) -> float:
    """Return the critical difference of average ranks of Nemenyi's test (Demsar 2006, section 3.2.2)."""
    from scipy.stats import studentized_range

    return float(
        studentized_range.ppf(1 - LEVEL, methods, np.inf) / np.sqrt(2) * np.sqrt(methods * (methods + 1) / (6 * blocks))
    )


def _wilcoxon_holm(values: np.ndarray, methods: Sequence[str]) -> tuple[pd.DataFrame | None, str]:
    """Test all pairs of columns, if the smallest possible p-value stays below the level after the correction."""
    blocks, count = values.shape
    pairs = list(combinations(range(count), 2))
    least = 2 / 2**blocks
    if least * len(pairs) > LEVEL:
        return None, (
            f"Too few tasks for a test: {blocks} without a common forget domain cannot give a p-value below "
            f"{least:.3g}, and {len(pairs)} pairs need {LEVEL / len(pairs):.2g}."
        )
    found = [exact_wilcoxon(values[:, one] - values[:, two]).p for one, two in pairs]
    return _matrix(methods, holm(np.array([1.0 if p is None else p for p in found]))), ""


def _matrix(names: Sequence[str], p: np.ndarray) -> pd.DataFrame:
    """Return a symmetric table of the p-values of all pairs, given in the order of `itertools.combinations`."""
    full = np.ones((len(names), len(names)))
    for (one, two), value in zip(combinations(range(len(names)), 2), p, strict=True):
        full[one, two] = full[two, one] = value
    return pd.DataFrame(full, index=list(names), columns=list(names))


def improvement(block: Scores, a: str, b: str, size: int | None = None) -> float:
    """Return the probability that a run of A beats one of B on the same task (Agarwal et al. 2021), mean over tasks.

    It has no interval: for shares near 0 and 1 the interval of `over_domains` is too narrow
    (`adu_bench.maintenance.simulation` measures it).
    """
    return float(improvements(block, a, b)[block.view(size)].mean())


def improvements(block: Scores, a: str, b: str) -> np.ndarray:
    """Return for each task the share of pairs of runs, all seeds of A with all of B, that A wins; ties count half."""
    places = block.methods.index(a), block.methods.index(b)
    gaps = block.values[places[0]][:, :, None] - block.values[places[1]][:, None, :]
    return (gaps > 0).mean(axis=(1, 2)) + (gaps == 0).mean(axis=(1, 2)) / 2


def profile(block: Scores, thresholds: np.ndarray | None = None, size: int | None = None) -> pd.DataFrame:
    """Return performance profiles: the share of runs that reach a threshold (Dolan and More 2002; Agarwal et al. 2021).

    Returns
    -------
    DataFrame
        One row per threshold (index), one column per method.
    """
    values = block.values[:, block.view(size)].reshape(len(block.methods), -1)
    grid = np.linspace(0, 1, 101) if thresholds is None else np.asarray(thresholds)
    shares = (values[:, :, None] >= grid).mean(axis=1)
    return pd.DataFrame(shares.T, index=pd.Index(grid, name="threshold"), columns=list(block.methods))
