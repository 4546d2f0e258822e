"""Compare two methods: differences on these tasks and on other domains, task by task and image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adu_bench.metrics.evidence import credit
from adu_bench.metrics.frame import Scorable
from adu_bench.stats.domains import OtherDomains, on_other_domains
from adu_bench.stats.estimates import Estimate
from adu_bench.stats.letters import holm
from adu_bench.stats.sample import METRICS, Collector, Sample
from adu_bench.stats.scores import Scores, forget_sets, scores, views_of


@dataclass(frozen=True)
class Difference:
    """A minus B in one metric, on the tasks with a given number of forget domains.

    Parameters
    ----------
    metric
        The metric.
    size
        Number of forget domains, None for all tasks.
    estimate
        Mean difference with the interval for other seeds and other test images.
    """

    metric: str
    size: int | None
    estimate: Estimate


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
    other_domains
        The difference of H on other domains.
    by_task
        One row per task: task, forget (number of domains), then for each metric a, b and the difference, averaged over
        seeds.
    images
        See `by_image`.
    """

    suite: str
    a: str
    b: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    left_out: tuple[str, ...]
    differences: tuple[Difference, ...]
    other_domains: OtherDomains
    by_task: pd.DataFrame
    images: pd.DataFrame

    def of(self, metric: str, size: int | None) -> Estimate:
        """Return the estimate of a metric on the tasks with this number of forget domains."""
        return next(one.estimate for one in self.differences if (one.metric, one.size) == (metric, size))


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
    views = task_views(first, size)
    by_task = pd.DataFrame({"task": first.tasks, "forget": [len(domains) for domains in first.forget]})
    for metric, own in taken.items():
        by_task[[f"{metric}_a", f"{metric}_b"]] = own.by_task.T
        by_task[f"{metric}_difference"] = own.by_task[0] - own.by_task[1]
    by_task = by_task[first.view(size)]
    inside = set(by_task["task"])
    collector = Collector(labels, views)
    successes: dict[str, dict[str, list[pd.DataFrame]]] = {a: {}, b: {}}
    for run in runs:
        task, label = run.spec.task, labels[run.key]
        if label in successes and task.name in inside:
            predictions = run.predictions()
            collector.add(run, predictions)
            successes[label].setdefault(task.name, []).append(success(predictions))
    samples: dict[int | None, Sample] = collector.samples()
    attempted = {run.spec.task.name for run in runs if labels[run.key] in (a, b)}
    sets = [forget[task] for task in by_task["task"]]
    return Comparison(
        suite=str(frame["suite"].iloc[0]),
        a=a,
        b=b,
        tasks=tuple(by_task["task"]),
        seeds=first.seeds,
        left_out=tuple(task for task in forget if task in attempted and task not in first.tasks),
        differences=tuple(
            Difference(metric, view, sample.difference(a, b, metric))
            for view, sample in samples.items()
            for metric in METRICS
        ),
        other_domains=on_other_domains(by_task["h_difference"].to_numpy(), sets, runs[0].spec.task.domains),
        by_task=by_task,
        images=by_image(successes[a], successes[b]),
    )


def task_views(pair: Scores, size: int | None = None) -> dict[int | None, tuple[str, ...]]:
    """Return the tasks of each view of a comparison, see `adu_bench.stats.scores.views_of`."""
    return {
        view: tuple(task for task, inside in zip(pair.tasks, pair.view(view), strict=True) if inside)
        for view in views_of(pair.sizes, size)
    }


def success(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return for each image whether a method did what it should: image, forget, success (0..1; ties count in part).

    On a retain domain a right answer is a success, on a forget domain a wrong one.
    """
    right, gone = credit(predictions), predictions["forget"].to_numpy(dtype=bool)
    return pd.DataFrame({"image": predictions["image"], "forget": gone, "success": np.where(gone, 1 - right, right)})


def by_image(one: Mapping[str, Sequence[pd.DataFrame]], two: Mapping[str, Sequence[pd.DataFrame]]) -> pd.DataFrame:
    """Compare two methods image by image within each task: McNemar's exact test.

    With several seeds the successes of an image are averaged first; the test compares the number of images on which A
    did better with the number on which B did.  It is valid for these trained models on other images, not for new
    training runs.

    Parameters
    ----------
    one, two
        For A and B by task, one table per seed, see `success`.

    Returns
    -------
    DataFrame
        One row per task and part (``mem``: retain domains, ``for``: forget domains): task, part, images, a_better,
        b_better, p, p_holm (corrected for the number of tasks and parts).
    """
    from scipy.stats import binomtest

    rows = []
    for task in sorted(one):
        both = pd.concat([_averaged(own[task]) for own in (one, two)], axis=1, keys=["a", "b"])
        for gone, part in both.groupby(level="forget"):
            gap = part["a"].to_numpy() - part["b"].to_numpy()
            better, worse = int((gap > 1e-9).sum()), int((gap < -1e-9).sum())
            p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
            rows.append((task, "for" if gone else "mem", len(part), better, worse, p))
    table = pd.DataFrame(rows, columns=["task", "part", "images", "a_better", "b_better", "p"])
    return table.assign(p_holm=holm(table["p"].to_numpy()))


def _averaged(seeds: Sequence[pd.DataFrame]) -> pd.Series:
    """Return the share of seeds with a success, indexed by (image, forget)."""
    return pd.concat(seeds).groupby(["image", "forget"], observed=True)["success"].mean()
