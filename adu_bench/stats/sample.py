"""What seeds and test images contribute to means over tasks, and the estimates and tests that follow.

The test images are a sample, too, and the same for all methods, tasks and seeds.  How much a mean depends on them is
computed by linearisation: the influence of a cluster of images (see `adu_bench.data.clusters`) is the first-order
change of the metric that is due to its images.  Influences are averaged over tasks as soon as a run is read, so memory
holds one number per method, seed and cluster, however many tasks there are.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from adu_bench.core.errors import unknown
from adu_bench.data.clusters import clusters
from adu_bench.metrics.evidence import credit, harmonic
from adu_bench.metrics.frame import Scorable
from adu_bench.stats.estimates import Estimate, on_these_tasks
from adu_bench.stats.letters import holm, letters

METRICS = ("h", "mem", "for")
View = TypeVar("View", bound=Hashable)


@dataclass(frozen=True)
class Sample:
    """Methods on the same tasks and seeds: means over the tasks, and what each cluster of test images adds to them.

    Parameters
    ----------
    methods, tasks, seeds
        The methods that finished all tasks with all seeds, these tasks, and seeds.
    means
        By metric, means over tasks, float64 (M, R): methods x seeds.
    influences
        By metric, influences of the clusters, averaged over tasks, float32 (M, R, G): methods x seeds x clusters.
    """

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    means: Mapping[str, np.ndarray]
    influences: Mapping[str, np.ndarray]

    def mean(self, method: str, metric: str = "h") -> Estimate:
        """Estimate a method's mean over these tasks, within 0..1.

        Raises
        ------
        UserError
            If the method did not finish all tasks with all seeds.
        """
        place = self._place(method)
        found = on_these_tasks(self.means[metric][place], self.influences[metric][place], len(self.tasks))
        return found.within(0, 1)

    def difference(self, a: str, b: str, metric: str = "h") -> Estimate:
        """Estimate the mean of A minus B over these tasks; errors as in `mean`."""
        one, two = self._place(a), self._place(b)
        means, influences = self.means[metric], self.influences[metric]
        return on_these_tasks(means[one] - means[two], influences[one] - influences[two], len(self.tasks))

    def pairwise(self, methods: Sequence[str], metric: str = "h") -> pd.DataFrame:
        """Test all pairs of methods, corrected by Holm's procedure.

        Returns
        -------
        DataFrame
            p-values (methods x methods), ones on the diagonal; all NaN off it if there are too few seeds.
        """
        found = [self.difference(a, b, metric).p for a, b in combinations(methods, 2)]
        corrected = holm(np.array([np.nan if p is None else p for p in found], dtype=float))
        table = np.eye(len(methods))
        table[np.triu_indices(len(methods), 1)] = corrected
        return pd.DataFrame(np.maximum(table, table.T), index=list(methods), columns=list(methods))

    def letters(self, methods: Sequence[str], metric: str = "h") -> dict[str, str]:
        """Return letters: methods that share one cannot be told apart; empty texts if there are too few seeds."""
        return letters(self.pairwise(methods, metric))

    def _place(self, method: str) -> int:
        if method not in self.methods:
            raise unknown("method with all of these runs", method, self.methods)
        return self.methods.index(method)


class Collector:
    """Collects samples from runs, each of which is read once.

    Parameters
    ----------
    labels
        The method of each run by the run's key; other runs are ignored.
    views
        Sets of tasks by any name; there is one sample for each.
    metrics
        Some of ``h``, ``mem`` and ``for``.
    """

    def __init__(
        self, labels: Mapping[str, str], views: Mapping[View, Collection[str]], metrics: Sequence[str] = METRICS
    ) -> None:
        self._labels, self._views, self._metrics = labels, views, tuple(metrics)
        # Tasks that belong to the same views are summed up together.
        self._part = {
            task: tuple(name for name, own in views.items() if task in own)
            for task in dict.fromkeys(task for own in views.values() for task in own)
        }
        self._clusters: dict[str, int] = {}
        self._images: pd.Series | None = None
        self._codes = np.zeros(0, dtype=np.int64)
        self._sums: dict[tuple[str, tuple, int], _Sum] = {}

    def add(self, run: Scorable, predictions: pd.DataFrame) -> None:
        """Add a run with its predictions."""
        task, label = run.spec.task, self._labels.get(run.key)
        if label is None or task.name not in self._part:
            return
        codes = self._codes_of(task.dataset, predictions["image"])
        gone = predictions["forget"].to_numpy(dtype=bool)
        means, influences = linearised(credit(predictions), gone, codes, len(self._clusters))
        own = self._sums.setdefault((label, self._part[task.name], run.spec.seed), _Sum(set(), {}, {}))
        own.tasks.add(task.name)
        for metric in self._metrics:
            own.means[metric] = own.means.get(metric, 0.0) + means[metric]
            before = own.influences.get(metric, np.zeros(0, np.float32))
            own.influences[metric] = _padded(before, len(self._clusters)) + influences[metric].astype(np.float32)

    def samples(self) -> dict[Any, Sample]:
        """Return the sample of each view, with the methods that finished all its tasks with all seeds."""
        seeds = tuple(sorted({seed for _, _, seed in self._sums}))
        return {name: self._sample(name, tuple(tasks), seeds) for name, tasks in self._views.items()}

    def _sample(self, view: View, tasks: tuple[str, ...], seeds: tuple[int, ...]) -> Sample:
        parts = sorted({self._part[task] for task in tasks}, key=repr)
        methods = []
        for label in dict.fromkeys(label for label, _, _ in self._sums):
            own = [self._sums.get((label, part, seed)) for part in parts for seed in seeds]
            if sum(len(each.tasks) for each in own if each is not None) == len(tasks) * len(seeds):
                methods.append(label)
        count = len(self._clusters)
        means = {metric: np.zeros((len(methods), len(seeds))) for metric in self._metrics}
        influences = {metric: np.zeros((len(methods), len(seeds), count), np.float32) for metric in self._metrics}
        for row, label in enumerate(methods):
            for column, seed in enumerate(seeds):
                for part in parts:
                    own_sum = self._sums[label, part, seed]
                    for metric in self._metrics:
                        means[metric][row, column] += own_sum.means[metric] / len(tasks)
                        influences[metric][row, column] += _padded(own_sum.influences[metric], count) / len(tasks)
        return Sample(tuple(methods), tasks, seeds, means, influences)

    def _codes_of(self, dataset: str, images: pd.Series) -> np.ndarray:
        """Return the number of each image's cluster (N,), int64; runs of a suite have the same images."""
        if self._images is None or not images.equals(self._images):
            found = clusters(dataset, images)
            self._codes = np.array([self._clusters.setdefault(name, len(self._clusters)) for name in found], np.int64)
            self._images = images
        return self._codes


@dataclass
class _Sum:
    tasks: set[str]
    means: dict[str, float]
    influences: dict[str, np.ndarray]


def samples(
    runs: Iterable[Scorable],
    labels: Mapping[str, str],
    views: Mapping[View, Collection[str]],
    metrics: Sequence[str] = METRICS,
) -> dict[View, Sample]:
    """Read runs and return the sample of each view; parameters as for `Collector`."""
    collector = Collector(labels, views, metrics)
    wanted = {task for own in views.values() for task in own}
    for run in runs:
        if run.key in labels and run.spec.task.name in wanted:
            collector.add(run, run.predictions())
    return collector.samples()


def linearised(
    right: np.ndarray, gone: np.ndarray, codes: np.ndarray, count: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return Mem, For and H of a run, and the influence of each cluster on each of them.

    Parameters
    ----------
    right
        How right each answer is, 0..1 (N,).
    gone
        Whether the image is of a forget domain, bool (N,).
    codes
        The cluster of each image (N,), 0 to ``count`` - 1.
    count
        Number of clusters G.

    Returns
    -------
    tuple
        Values 0..1 by metric, and influences (G,) by metric; influences of a metric sum to zero.  All are NaN without
        images on both sides.

    Notes
    -----
    Mem and For are ratios, because clusters have different numbers of images on either side; hence the share of each
    image is centred by the mean of its side (Woodruff 1971, JASA 66:411-414).
    """
    if gone.all() or not gone.any():
        return dict.fromkeys(METRICS, np.nan), dict.fromkeys(METRICS, np.full(count, np.nan))
    mem, forgotten = float(right[~gone].mean()), 1 - float(right[gone].mean())
    kept_side = np.bincount(codes, np.where(gone, 0.0, right - mem), count) / (~gone).sum()
    gone_side = np.bincount(codes, np.where(gone, 1 - right - forgotten, 0.0), count) / gone.sum()
    total = mem + forgotten
    slopes = (2 * forgotten**2 / total**2, 2 * mem**2 / total**2) if total > 0 else (0.0, 0.0)
    return (
        {"mem": mem, "for": forgotten, "h": harmonic(mem, forgotten)},
        {"mem": kept_side, "for": gone_side, "h": slopes[0] * kept_side + slopes[1] * gone_side},
    )


def _padded(values: np.ndarray, count: int) -> np.ndarray:
    return np.pad(values, (0, count - len(values))) if len(values) < count else values
