"""Error rates of statistical procedures on simulated boards: false positives, and intervals that miss the true value.

On boards where no method is better than another, every significant difference is a false positive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from scipy.special import stdtrit
from scipy.stats import friedmanchisquare, rankdata

from adu_bench.core.seeds import derive
from adu_bench.maintenance.boards import Effects, as_scores, draw, subsets
from adu_bench.stats.estimates import (
    LEVEL,
    Estimate,
    errors_over_domains,
    membership,
    over_domains,
    over_seeds,
    pseudo_inverse,
    quantile,
    roles,
    within_sizes,
)
from adu_bench.stats.measured import ALL, ALONE, APART, view_name
from adu_bench.stats.paired import WILCOXON, WILCOXON_APART, disjoint, exact_wilcoxon
from adu_bench.stats.ranks import critical_difference, friedman, improvements
from adu_bench.stats.resampling import FEWEST_DATA_SETS, cluster_bootstrap
from adu_bench.stats.summary import summarise

METHODS = 6
ErrorRates = dict[tuple[str, str], float]
"""Share of boards on which a procedure is wrong, 0 to 1, by (procedure, view)."""


def _outside(value: np.ndarray, error: np.ndarray, df: float | np.ndarray) -> np.ndarray:
    """Return for each board whether zero is outside the interval of Student's t."""
    return np.abs(value) > stdtrit(df, 1 - LEVEL / 2) * error


def _student(values: np.ndarray) -> np.ndarray:
    """Treat the values (boards, n) as independent."""
    count = values.shape[1]
    return _outside(values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(count), count - 1)


def _percentile(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap the values (boards, n) and return whether zero is outside the percentile interval."""
    count = values.shape[1]
    found = []
    for own in values:
        drawn = own[rng.integers(count, size=(1_000, count))].mean(axis=1)
        low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
        found.append(not low <= 0 <= high)
    return np.array(found)


def _corrected(means: np.ndarray, forget: Sequence[Sequence[str]]) -> np.ndarray:
    """Correct the variance for the mean overlap of tasks, as Nadeau and Bengio (2003) do for training sets."""
    count = len(forget)
    overlap = [len(set(one) & set(two)) / np.sqrt(len(one) * len(two)) for one, two in combinations(forget, 2)]
    share = float(np.mean(overlap))
    variance = means.var(axis=1, ddof=1) * (1 / count + share / (1 - share))
    return _outside(means.mean(axis=1), np.sqrt(variance), count - 1)


def _by_domain(means: np.ndarray, forget: Sequence[Sequence[str]]) -> np.ndarray:
    """Average the tasks that forget a domain, and treat these averages as independent."""
    domains = sorted(set().union(*forget))
    own = np.stack([means[:, [domain in task for task in forget]].mean(axis=1) for domain in domains], axis=1)
    return _outside(means.mean(axis=1), own.std(axis=1, ddof=1) / np.sqrt(len(domains)), len(domains) - 1)


def _satterthwaite(means: np.ndarray, forget: Sequence[Sequence[str]]) -> np.ndarray:
    """Estimate the variances of domains and tasks separately, with Satterthwaite's degrees of freedom."""
    gone = membership(forget)
    shares, _ = roles(gone)
    centre = within_sizes(np.eye(len(forget)), gone)
    fit = pseudo_inverse(centre @ shares)
    rest = centre - centre @ shares @ fit
    (count, domains), df_rest = gone.shape, round(np.trace(rest))
    df = domains - 1
    first = ((means @ fit.T) ** 2).sum(axis=1) / df / domains
    noise = ((means @ rest.T) ** 2).sum(axis=1) / df_rest
    second = (float((fit**2).sum() / df) / domains - 1 / count) * noise
    variance = np.maximum(first - second, noise / count)
    freedom = (first - second) ** 2 / (first**2 / df + second**2 / df_rest)
    freedom = np.where(first - second > noise / count, freedom.clip(1, df + df_rest), df + df_rest)
    return _outside(means.mean(axis=1), np.sqrt(variance), freedom)


def _wilcoxon(means: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Return for each board whether the exact test rejects; a test that cannot be made does not reject."""
    return np.array([(p := exact_wilcoxon(own).p) is not None and p < level for own in means])


def _over_domains(means: np.ndarray, forget: Sequence[Sequence[str]], view: np.ndarray, level: float) -> np.ndarray:
    """Return for each board whether `adu_bench.stats.estimates.over_domains` rejects at a level."""
    df = len(set().union(*forget)) - 1
    error = errors_over_domains(means, forget, view)
    return np.abs(means[:, view].mean(axis=1)) > quantile(df, level) * error


def measure_pairs(effects: Effects, boards: int, seed: int) -> ErrorRates:
    """Return the share of null boards on which each procedure reports a difference between two methods."""
    rng = np.random.default_rng(derive(seed, "pairs"))
    drawn, forget = draw(rng, effects, boards), subsets()
    values = drawn[:, 0] - drawn[:, 1]
    means = values.mean(axis=2)
    found = {}
    for size in (None, 1, 2, 3):
        view = np.array([size is None or len(task) == size for task in forget])
        own, name = means[:, view], view_name(size)
        apart = disjoint([task for task, inside in zip(forget, view, strict=True) if inside])
        found["t over domains", name] = _over_domains(means, forget, view, LEVEL)
        if size is not None:
            inside = [task for task, chosen in zip(forget, view, strict=True) if chosen]
            found[APART, name] = _over_domains(own, inside, np.ones(len(inside), bool), LEVEL)
        found["t over tasks", name] = _student(own)
        if size in (None, 1):
            found["percentile bootstrap over tasks", name] = _percentile(own, rng)
        found[WILCOXON, name] = _wilcoxon(own)
        found[WILCOXON_APART, name] = _wilcoxon(own[:, apart])
    found["t over runs", ALL] = _student(values.reshape(boards, -1))
    found["t with variance corrected for overlap", ALL] = _corrected(means, forget)
    found["t over means by domain", ALL] = _by_domain(means, forget)
    found["crossed random effects, Satterthwaite", ALL] = _satterthwaite(means, forget)
    return {key: float(wrong.mean()) for key, wrong in found.items()}


def measure_many(effects: Effects, boards: int, seed: int) -> ErrorRates:
    """Return the share of null boards of six methods on which each procedure reports any difference."""
    rng = np.random.default_rng(derive(seed, "many"))
    means, forget = draw(rng, effects, boards, METHODS).mean(axis=3), subsets()
    everything, alone = np.ones(len(forget), bool), np.array([len(task) == 1 for task in forget])
    pairs = list(combinations(range(METHODS), 2))
    # Holm's procedure rejects at least once exactly if the smallest p-value is below the level / number of pairs.
    level = LEVEL / len(pairs)
    gaps = [means[:, one] - means[:, two] for one, two in pairs]
    needed = critical_difference(METHODS, 1)
    found = {}
    for name, view in ((ALL, everything), (ALONE, alone)):
        found["letters: t over domains, Holm", name] = np.any(
            [_over_domains(own, forget, view, level) for own in gaps], axis=0
        )
        ranks = rankdata(-means[:, :, view], axis=1).transpose(0, 2, 1)
        found["Nemenyi", name] = np.ptp(ranks.mean(axis=1), axis=1) >= needed / np.sqrt(view.sum())
        found["Friedman, chi-square", name] = np.array([friedmanchisquare(*own.T).pvalue < LEVEL for own in ranks])
        if name == ALONE:
            found["Friedman, shuffled", name] = np.array([friedman(own)[1] < LEVEL for own in ranks])
        found["Wilcoxon, Holm", name] = np.any([_wilcoxon(own[:, view], level) for own in gaps], axis=0)
    return {key: float(wrong.mean()) for key, wrong in found.items()}


def measure_coverage(effects: Effects, boards: int, seed: int) -> ErrorRates:
    """Return the share of boards on which an interval does not contain the true value.

    A method's values are drawn around one half, with effects a tenth of their usual size.  The true value for new seeds
    on the same tasks is the board's value without effects of seeds.
    """
    rng = np.random.default_rng(derive(seed, "coverage"))
    fixed = draw(rng, replace(effects, seed=0.0, run=0.0), boards)
    noisy = fixed + draw(rng, Effects(0.0, seed=effects.seed, run=effects.run, tails=effects.tails), boards)
    alone = np.array([len(task) == 1 for task in subsets()])
    found: dict[tuple[str, str], list[bool]] = {}
    for truth, values in zip(fixed[..., 0], noisy, strict=True):
        whole = as_scores(values)
        for name, view in ((ALL, None), (ALONE, alone)):
            summary = summarise(0.5 + 0.1 * values[0], whole.forget, view)
            found.setdefault(("mean of a method", name), []).append(_misses(summary.mean, 0.5))
            found.setdefault(("interquartile mean of a method", name), []).append(_misses(summary.middle, 0.5))
            if effects.seed:
                lowest = 0.5 + 0.1 * float(truth[0][slice(None) if view is None else view].min())
                found.setdefault(("worst task of a method, new seeds", name), []).append(_misses(summary.worst, lowest))
        found.setdefault(("probability of improvement, t over domains", ALL), []).append(
            _misses(over_domains(improvements(whole, "m0", "m1"), whole.forget).within(0, 1), 0.5)
        )
        if effects.seed:
            here = over_seeds(values[0] - values[1])
            found.setdefault(("difference on these tasks, new seeds", ALL), []).append(
                _misses(here, float((truth[0] - truth[1]).mean()))
            )
    return {key: float(np.mean(missed)) for key, missed in found.items()}


def measure_data_sets(effects: Effects, boards: int, seed: int) -> ErrorRates:
    """Return the share of collections of null boards on which a bootstrap over data sets reports a difference."""
    rng = np.random.default_rng(derive(seed, "data sets"))
    count = FEWEST_DATA_SETS
    drawn = draw(rng, effects, boards * count).mean(axis=3)
    gaps = (drawn[:, 0] - drawn[:, 1]).reshape(boards, count, -1)
    names = [str(number) for number in range(count)]
    studentised = [
        (p := cluster_bootstrap(dict(zip(names, own, strict=True)), 999, place).p) is not None and p < LEVEL
        for place, own in enumerate(gaps)
    ]
    view = f"{count} data sets"
    return {
        ("bootstrap over data sets, studentised", view): float(np.mean(studentised)),
        ("bootstrap over data sets, percentile", view): float(_percentile(gaps.mean(axis=2), rng).mean()),
    }


def _misses(estimate: Estimate, truth: float) -> bool:
    low, high = estimate.low, estimate.high
    return low is None or high is None or not low - 1e-12 <= truth <= high + 1e-12


MEASURES: Mapping[str, Callable[[Effects, int, int], ErrorRates]] = {
    "two methods": measure_pairs,
    f"{METHODS} methods": measure_many,
    "intervals": measure_coverage,
    "data sets": measure_data_sets,
}
"""What is measured by the name of the question: effects, number of boards, seed -> error rates."""
