"""Compare two methods: differences by task, their intervals, and the usual tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from adu_bench.metrics.evidence import credit
from adu_bench.metrics.frame import Scorable
from adu_bench.stats.estimates import LEVEL, Estimate, ForgetSets, over_domains, over_seeds
from adu_bench.stats.measured import caveat
from adu_bench.stats.scores import Scores, forget_sets, scores, views_of

METRICS = ("h", "mem", "for")
_ZERO = 1e-12
"""Differences below this are rounding errors of equal values."""
_MOST_SIGNS = 16
_FEWEST_TASKS = int(np.ceil(np.log2(2 / LEVEL)))
WILCOXON = "Wilcoxon over tasks"
WILCOXON_APART = "Wilcoxon over tasks that share no forget domain"


@dataclass(frozen=True)
class Test:
    """A test of no difference.

    Parameters
    ----------
    name
        The test and its units.
    p
        Two-sided p-value; None if there is no test.
    n
        Number of tasks (or images).
    reason
        Why there is no test; empty if there is one.
    """

    name: str
    p: float | None
    n: int
    reason: str = ""


@dataclass(frozen=True)
class Difference:
    """A minus B in one metric, on the tasks with a given number of forget domains.

    Parameters
    ----------
    metric
        The metric.
    size
        Number of forget domains, None for all tasks.
    domains
        Mean difference with the interval and test for other domains.
    seeds
        The same for new seeds on these tasks.
    apart
        Exact Wilcoxon signed-rank test over tasks without a common forget domain.
    together
        The same over all tasks; it is not valid, because these share domains, and is given because readers ask for it.
    effect
        Hedges' g: mean over the standard deviation of domain effects, corrected for their number; None without an
        interval, or if domains do not differ.
    rank_biserial
        Rank-biserial correlation over the tasks: share of rank sums for A minus that for B, -1 to 1 (Kerby 2014).
    """

    metric: str
    size: int | None
    domains: Estimate
    seeds: Estimate
    apart: Test
    together: Test
    effect: float | None
    rank_biserial: float


@dataclass(frozen=True)
class Comparison:
    """Two methods of one suite.

    Parameters
    ----------
    suite, a, b
        The suite and the two methods.
    tasks, seeds
        The tasks and seeds that both finished.
    left_out
        Tasks that one of the two did not finish with all seeds.
    differences
        By metric and number of forget domains, see `Difference`.
    by_task
        One row per task: task, forget (number of domains), then for each metric a, b and the difference, averaged over
        seeds.
    images
        See `by_image`.
    caveat
        Why intervals for other domains may be too narrow; empty if they are not.
    """

    suite: str
    a: str
    b: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    left_out: tuple[str, ...]
    differences: tuple[Difference, ...]
    by_task: pd.DataFrame
    images: pd.DataFrame
    caveat: str = ""


def compare(
    frame: pd.DataFrame,
    runs: Sequence[Scorable],
    labels: Mapping[str, str],
    a: str,
    b: str,
    size: int | None = None,
) -> Comparison:
    """Compare two methods.

    Parameters
    ----------
    frame
        All metrics of the runs, see `adu_bench.metrics.frame.score`, of one suite.
    runs
        The runs.
    labels
        The method of each run by the run's key.
    a, b
        The methods.
    size
        Only tasks with this number of forget domains; all if None.

    Raises
    ------
    UserError
        If a method is unknown, or no task was finished by both.
    """
    forget = forget_sets(runs)
    taken = {metric: scores(frame, forget, metric, (a, b)) for metric in METRICS}
    first = taken["h"]
    views = views_of(first.sizes, size)
    by_task = pd.DataFrame({"task": first.tasks, "forget": [len(domains) for domains in first.forget]})
    for metric, own in taken.items():
        by_task[[f"{metric}_a", f"{metric}_b"]] = own.by_task.T
        by_task[f"{metric}_difference"] = own.by_task[0] - own.by_task[1]
    by_task = by_task[first.view(size)]
    inside = set(by_task["task"])
    own_runs = [
        [run for run in runs if labels[run.key] == method and run.spec.task.name in inside] for method in (a, b)
    ]
    attempted = {run.spec.task.name for run in runs if labels[run.key] in (a, b)}
    return Comparison(
        suite=str(frame["suite"].iloc[0]),
        a=a,
        b=b,
        tasks=tuple(by_task["task"]),
        seeds=first.seeds,
        left_out=tuple(task for task in forget if task in attempted and task not in first.tasks),
        differences=tuple(difference(own, view) for view in views for own in taken.values()),
        by_task=by_task,
        images=by_image(*own_runs),
        caveat=caveat(first.forget),
    )


def difference(pair: Scores, size: int | None) -> Difference:
    """Compare the first of two methods with the second on the tasks with ``size`` forget domains (None: all tasks)."""
    values = pair.values[0] - pair.values[1]
    means, view = values.mean(axis=1), pair.view(size)
    domains = over_domains(means, pair.forget, view)
    chosen = [forget for forget, inside in zip(pair.forget, view, strict=True) if inside]
    alone = disjoint(chosen)
    return Difference(
        metric=pair.metric,
        size=size,
        domains=domains,
        seeds=over_seeds(values[view]),
        apart=exact_wilcoxon(means[view][alone], WILCOXON_APART),
        together=exact_wilcoxon(means[view], WILCOXON),
        effect=_effect(domains),
        rank_biserial=rank_biserial(means[view]),
    )


def disjoint(forget: ForgetSets) -> np.ndarray:
    """Return positions of tasks without a common forget domain: those with fewest domains first, then by name."""
    taken: set[str] = set()
    found = []
    for place in sorted(range(len(forget)), key=lambda place: (len(forget[place]), sorted(forget[place]))):
        if taken.isdisjoint(forget[place]):
            taken |= set(forget[place])
            found.append(place)
    return np.array(sorted(found), dtype=int)


def exact_wilcoxon(differences: np.ndarray, name: str = "Wilcoxon") -> Test:
    """Apply the exact Wilcoxon signed-rank test; ranks of zeros are split, as in Demsar (2006).

    With n differences no p-value can be below 2 / 2^n; if that is above the level, there is no test.
    """
    from scipy import stats

    differences = np.asarray(differences, dtype=float)
    differences = np.where(np.abs(differences) < _ZERO, 0.0, differences)
    n = int(np.count_nonzero(differences))
    if 2 / 2**n > LEVEL:
        least = "1" if n < 2 else f"{2 / 2**n:.3f}".removeprefix("0")
        reason = f"Too few tasks for a test: {n} cannot give a p-value below {least}; {_FEWEST_TASKS} are needed."
        return Test(name, None, n, reason)
    ranks = stats.rankdata(np.abs(differences))[differences != 0]
    if n > _MOST_SIGNS:
        return Test(name, float(stats.wilcoxon(differences, zero_method="zsplit").pvalue), n)
    observed = float(np.sign(differences[differences != 0]) @ ranks)
    return Test(name, float((_signed_sums(tuple(sorted(ranks))) >= abs(observed) - _ZERO).mean()), n)


@lru_cache(maxsize=32)
def _signed_sums(ranks: tuple[float, ...]) -> np.ndarray:
    """Return absolute sums of the ranks over all combinations of signs; unlike tables of the test, exact with ties."""
    signs = (np.arange(2 ** len(ranks))[:, None] >> np.arange(len(ranks))) % 2 * 2 - 1
    return np.abs(signs @ np.array(ranks))


def rank_biserial(differences: np.ndarray) -> float:
    """Return the share of rank sums of positive differences minus that of negative ones, -1 to 1."""
    from scipy.stats import rankdata

    ranks = rankdata(np.abs(differences))
    total = ranks[differences != 0].sum()
    return float((np.sign(differences) * ranks).sum() / total) if total else 0.0


def _effect(domains: Estimate) -> float | None:
    """Return Hedges' g over domains, or None if it is not defined."""
    if not domains.error:
        return None
    return float(domains.value / (domains.error * np.sqrt(domains.units)) * (1 - 3 / (4 * domains.df - 1)))


def by_image(runs_a: Sequence[Scorable], runs_b: Sequence[Scorable]) -> pd.DataFrame:
    """Compare two methods image by image within each task: McNemar's exact test.

    On a retain domain a right answer is a success, on a forget domain a wrong one (ties count in part).  With several
    seeds the successes of an image are averaged first; the test compares the number of images on which A did better
    with the number on which B did.  It is valid for these trained models on other images, not for new training runs.

    Parameters
    ----------
    runs_a, runs_b
        Runs of the two methods on the same tasks and seeds.

    Returns
    -------
    DataFrame
        One row per task and part (``mem``: retain domains, ``for``: forget domains): task, part, images, a_better,
        b_better, p, p_holm (corrected for the number of tasks and parts).
    """
    from scipy.stats import binomtest

    successes = _successes(runs_a), _successes(runs_b)
    rows = []
    for task in sorted(successes[0]):
        both = pd.concat([own[task] for own in successes], axis=1, keys=["a", "b"])
        for gone, part in both.groupby(level="forget"):
            gap = part["a"].to_numpy() - part["b"].to_numpy()
            better, worse = int((gap > 1e-9).sum()), int((gap < -1e-9).sum())
            p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
            rows.append((task, "for" if gone else "mem", len(part), better, worse, p))
    table = pd.DataFrame(rows, columns=["task", "part", "images", "a_better", "b_better", "p"])
    return table.assign(p_holm=holm(table["p"].to_numpy()))


def _successes(runs: Sequence[Scorable]) -> dict[str, pd.Series]:
    """Return by task the share of seeds with a success, indexed by (image, forget)."""
    frames: dict[str, list[pd.DataFrame]] = {}
    for run in runs:
        frame = run.predictions()
        right = credit(frame)
        gone = frame["forget"].to_numpy(dtype=bool)
        frames.setdefault(run.spec.task.name, []).append(
            pd.DataFrame({"image": frame["image"], "forget": gone, "success": np.where(gone, 1 - right, right)})
        )
    return {
        task: pd.concat(parts).groupby(["image", "forget"], observed=True)["success"].mean()
        for task, parts in frames.items()
    }


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number by Holm's step-down procedure."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    corrected = np.empty_like(stepped)
    corrected[order] = stepped
    return corrected
