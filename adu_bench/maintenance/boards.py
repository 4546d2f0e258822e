"""Simulated boards on which no method is better than another: from measured effects, and from answers.

Boards of the first kind are drawn from what a real board shows: the effects of its clusters of images on each method,
with what single seeds add, are drawn with replacement, and the seeds' means have the measured covariance between
methods.  Boards of the second kind are answers, right or wrong, from a logistic model with random effects of clusters,
seeds and both, which go through the code that scores real predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from adu_bench.leaderboard.rows import read_rows, rows_dir
from adu_bench.stats.sample import Sample, linearised, samples

SUITE = "emoji"
METHODS = ("adu", "adu-released", "baseline", "bbf", "clipfit", "lp-plus-plus")
"""The methods of the paper, whose rows are the source of the effects."""
CENTRE = 0.5
"""The true value of each method on boards from measured effects."""


@dataclass(frozen=True)
class Effects:
    """Effects on H of several methods, as a board shows them.

    Parameters
    ----------
    clusters
        Effects of the clusters of test images that all seeds share, float (M, G): methods x clusters.
    single
        What single seeds add to them, float (M, R, G); the mean over seeds is zero.
    seeds
        Covariance (M, M) of the methods' means over images between seeds, beyond what single answers cause.
    """

    clusters: np.ndarray
    single: np.ndarray
    seeds: np.ndarray


@dataclass(frozen=True)
class Resampled:
    """A scenario of boards from measured effects.

    Parameters
    ----------
    methods
        Whose effects.
    tasks
        The view: all tasks, or the first one alone.
    seeds, clusters
        Their numbers; as measured if None.
    noise
        Factor of the standard deviation of seeds.
    """

    methods: tuple[str, ...] = METHODS
    tasks: str = "all"
    seeds: int | None = None
    clusters: int | None = None
    noise: float = 1.0


@dataclass(frozen=True)
class Answers:
    """A scenario of boards from answers; effects are standard deviations of log-odds.

    Parameters
    ----------
    mem, forgotten
        Log-odds of a right answer on retain domains, and of a wrong one on forget domains.
    tasks
        Number of tasks, each of which forgets another one of four domains.
    seeds, clusters
        Their numbers; a cluster has an image in each domain, of which one in ten is missing.
    cluster, seed, both
        Effects of a cluster, of a seed in a task, and of a cluster with a seed, of each method.
    """

    mem: float = 0.4
    forgotten: float = 0.4
    tasks: int = 4
    seeds: int = 3
    clusters: int = 80
    cluster: float = 1.0
    seed: float = 0.15
    both: float = 0.5


DOMAINS, COMPARED = 4, 6
"""Numbers of domains and methods of boards from answers."""

USUAL = "as measured"
SCENARIOS: Mapping[str, Resampled | Answers] = {
    USUAL: Resampled(),
    "without adu-released": Resampled(methods=tuple(name for name in METHODS if name != "adu-released")),
    "one task": Resampled(tasks="first"),
    "twice the seed noise": Resampled(noise=2.0),
    "no seed noise": Resampled(noise=0.0),
    "five seeds": Resampled(seeds=5),
    "five seeds, twice the noise": Resampled(seeds=5, noise=2.0),
    "60 clusters": Resampled(clusters=60),
    "answers": Answers(),
    "answers, much seed noise": Answers(seed=0.5),
    "the same, five seeds": Answers(seed=0.5, seeds=5),
    "answers near 0 and 1": Answers(mem=4.0, forgotten=3.0),
}


def measured(scenario: Resampled) -> Effects:
    """Return the effects of a scenario's methods and tasks, from the project's committed rows."""
    return _measured(scenario.methods, scenario.tasks)


@cache
def _measured(methods: tuple[str, ...], view: str) -> Effects:
    runs = [run for run in read_rows(rows_dir(), SUITE) if run.label in methods]
    tasks = list(dict.fromkeys(run.spec.task.name for run in runs))
    labels = {run.key: run.label for run in runs}
    found = samples(runs, labels, {view: tasks if view == "all" else tasks[:1]}, ("h",))
    return effects_of(found[view])


def effects_of(sample: Sample) -> Effects:
    """Split the influences and means of a sample into effects, by moments."""
    influences, means = sample.influences["h"].astype(float), sample.means["h"]
    _, seeds, clusters = influences.shape
    average = influences.mean(axis=1)
    rest = influences - average[:, None]
    # Variance of a mean over images of one seed that is due to single answers.
    interaction = (rest**2).sum(axis=(1, 2)) / (seeds - 1) * clusters / (clusters - 1)
    images = (average**2).sum(axis=1) * clusters / (clusters - 1)
    shrink = np.sqrt(np.maximum(1 - interaction / seeds / np.maximum(images, 1e-30), 0))
    covariance = np.cov(means)
    total = float(np.trace(covariance))
    beyond = max(1 - float(interaction.sum()) / total, 0.0) if total > 0 else 0.0
    return Effects(average * shrink[:, None], rest * np.sqrt(seeds / (seeds - 1)), covariance * beyond)


def resample(rng: np.random.Generator, effects: Effects, scenario: Resampled) -> Sample:
    """Draw a board on which the true value of all methods is one half."""
    methods, measured_seeds, measured_clusters = effects.single.shape
    seeds, clusters = scenario.seeds or measured_seeds, scenario.clusters or measured_clusters
    drawn = rng.integers(measured_clusters, size=clusters)
    # Each cluster takes what single seeds add from random seeds, the same for all methods.
    whose = rng.integers(measured_seeds, size=(seeds, clusters))
    influences = (effects.clusters[:, None, drawn] + effects.single[:, whose, drawn]) * measured_clusters / clusters
    root = np.linalg.cholesky(effects.seeds + 1e-12 * np.eye(methods))
    means = CENTRE + scenario.noise * root @ rng.normal(size=(methods, seeds)) + influences.sum(axis=2)
    return _sample(means, influences - influences.mean(axis=2, keepdims=True))


def answer(rng: np.random.Generator, scenario: Answers) -> Sample:
    """Draw the answers of a board, and return its sample as it is computed for real predictions."""
    clusters, seeds, tasks = scenario.clusters, scenario.seeds, scenario.tasks
    codes = np.tile(np.arange(clusters), DOMAINS)
    domain = np.repeat(np.arange(DOMAINS), clusters)
    there = rng.random(len(codes)) > 0.1
    codes, domain = codes[there], domain[there]
    means, influences = np.zeros((COMPARED, seeds)), np.zeros((COMPARED, seeds, clusters))
    for method in range(COMPARED):
        own = rng.normal(0, scenario.cluster, (2, clusters))
        both = rng.normal(0, scenario.both, (seeds, 2, clusters))
        noise = rng.normal(0, scenario.seed, (seeds, 2))
        for seed in range(seeds):
            for task in range(tasks):
                gone = domain == task
                side = gone.astype(int)
                odds = np.where(gone, scenario.forgotten, scenario.mem) + noise[seed, side]
                odds += own[side, codes] + both[seed, side, codes]
                success = rng.random(len(codes)) < 1 / (1 + np.exp(-odds))
                value, influence = linearised(success != gone, gone, codes, clusters)
                means[method, seed] += value["h"] / tasks
                influences[method, seed] += influence["h"] / tasks
    return _sample(means, influences)


def expected(scenario: Answers) -> float:
    """Return the true H of boards from answers: the mean over seeds of H over all images."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    weights = weights / weights.sum()
    spread = np.hypot(scenario.cluster, scenario.both)

    def rates(centre: float) -> np.ndarray:
        odds = centre + scenario.seed * nodes[:, None] + spread * nodes
        return (weights / (1 + np.exp(-odds))).sum(axis=1)

    mem, forgotten = rates(scenario.mem)[:, None], rates(scenario.forgotten)[None]
    return float(weights @ (2 * mem * forgotten / (mem + forgotten)) @ weights)


def _sample(means: np.ndarray, influences: np.ndarray) -> Sample:
    methods, seeds = means.shape
    names = tuple(f"m{number}" for number in range(methods))
    return Sample(names, ("task",), tuple(range(1, seeds + 1)), {"h": means}, {"h": influences})


def draw(rng: np.random.Generator, scenario: Resampled | Answers, effects: Effects | None = None) -> Sample:
    """Draw one board of a scenario; ``effects`` are needed for boards from measured effects."""
    if isinstance(scenario, Answers):
        return answer(rng, scenario)
    return resample(rng, measured(scenario) if effects is None else effects, scenario)


def truth(scenario: Resampled | Answers) -> float:
    """Return the true value of each method."""
    return expected(scenario) if isinstance(scenario, Answers) else CENTRE


def pairs(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Return all pairs of methods."""
    return [(one, two) for place, one in enumerate(methods) for two in methods[place + 1 :]]
