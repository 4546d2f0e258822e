"""Simulated boards: random scores whose tasks depend on each other as those of a real board do.

A board is methods x tasks x seeds.  Its tasks are all subsets of one to three of four domains.  Each method has two
effects of every domain, one in the tasks that forget it and one in those that retain it (a task shows the mean of
either), an effect of each task alone, and one of each seed.  No method is better than another over the population of
domains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from adu_bench.core.specs import forget_name
from adu_bench.stats.estimates import membership, pseudo_inverse, roles, within_sizes
from adu_bench.stats.measured import USUAL
from adu_bench.stats.scores import Scores


@dataclass(frozen=True)
class Effects:
    """Standard deviations of the differences between methods, in arbitrary units.

    Parameters
    ----------
    forgotten, retained
        Effect of a domain in the tasks that forget it, and in those that retain it.
    task
        Effect of a task alone.
    seed, run
        Effect of a seed in one task, and of a seed in all tasks.
    adds
        Whether effects of forgotten domains are added instead of averaged.
    tails
        Degrees of freedom of the Student's t from which effects are drawn; None for the normal distribution.
    alike
        Correlation of a domain's effects where it is forgotten and where it is retained, -1 to 1.
    """

    forgotten: float
    retained: float = 0.0
    task: float = 0.0
    seed: float = 0.0
    run: float = 0.0
    adds: bool = False
    tails: int | None = None
    alike: float = 0.0


SCENARIOS: Mapping[str, Effects] = {
    USUAL: Effects(1.0, 1.3, 0.4, 1.0, 0.4, alike=0.8),
    "steady methods": Effects(1.0, 1.7, 0.6, 0.6),
    "forgotten matter more": Effects(1.0, 0.3, 0.4, 0.4),
    "forgotten alone": Effects(1.0),
    "both roles alike": Effects(1.0, 1.0, 0.4, 0.4, alike=1.0),
    "heavy tails": Effects(1.0, 1.3, 0.4, 1.0, 0.4, alike=0.8, tails=4),
    "no domain effects": Effects(0.0, 0.0, 0.4, 0.4),
    "effects add up": Effects(1.0, 0.3, 0.4, 0.4, adds=True),
}
"""The first two have the variance components of H in ``leaderboards/emoji`` (see `components`; rounded, in units of a
forgotten domain's effect): of the paper's six methods, and of these without ``adu-released``, which varies much between
seeds.  The last two test the limits of the procedures: without domain effects intervals may be too wide, and effects
that add up are unlike those of Mem, For and H, which are means over domains."""


def subsets(domains: int = 4, sizes: Iterable[int] = (1, 2, 3)) -> tuple[tuple[str, ...], ...]:
    """Return the forget sets of a suite: all subsets of the given sizes."""
    names = [f"d{number}" for number in range(domains)]
    return tuple(chosen for size in sizes for chosen in combinations(names, size))


def draw(
    rng: np.random.Generator,
    effects: Effects,
    boards: int,
    methods: int = 2,
    seeds: int = 3,
    forget: Sequence[Sequence[str]] | None = None,
) -> np.ndarray:
    """Draw boards on which no method is better than another.

    Effects of single methods have variance one half, so that differences of two have the variances of `Effects`.

    Returns
    -------
    ndarray
        float64 (boards, methods, tasks, seeds).
    """
    forget = subsets() if forget is None else forget
    gone = membership(forget)
    shares, left = roles(gone)
    domains = gone.shape[1]

    def some(size: float, *shape: int) -> np.ndarray:
        if effects.tails is None:
            return size * rng.normal(0, np.sqrt(0.5), (boards, methods, *shape))
        scale = np.sqrt((effects.tails - 2) / effects.tails / 2)
        return size * scale * rng.standard_t(effects.tails, (boards, methods, *shape))

    forgotten, other = some(1.0, domains), some(1.0, domains)
    retained = effects.alike * forgotten + np.sqrt(1 - effects.alike**2) * other
    tasks = effects.forgotten * forgotten @ (gone if effects.adds else shares).T + effects.retained * retained @ left.T
    tasks = tasks + some(effects.task, len(forget))
    return tasks[..., None] + some(effects.seed, len(forget), seeds) + some(effects.run, 1, seeds)


def board(rng: np.random.Generator, effects: Effects, methods: int = 2, seeds: int = 3) -> Scores:
    """Draw one board, see `draw`."""
    return as_scores(draw(rng, effects, 1, methods, seeds)[0])


def as_scores(values: np.ndarray) -> Scores:
    """Return the values of one board (methods, tasks, seeds) with made-up names."""
    forget, (methods, _, seeds) = subsets(), values.shape
    names = tuple(f"m{number}" for number in range(methods))
    return Scores("h", names, tuple(map(forget_name, forget)), tuple(range(1, seeds + 1)), forget, values)


def components(block: Scores) -> Effects:
    """Estimate the variance components of differences between methods, by moments, averaged over all pairs.

    Means over tasks have one level for each number of forget domains.  A domain's effects in its two roles come from a
    least-squares fit, less what the noise of single tasks adds to their variances.
    """
    gone = membership(block.forget)
    count = gone.shape[1]
    centre = within_sizes(np.eye(len(gone)), gone)
    design = centre @ np.hstack(roles(gone))
    fit = pseudo_inverse(design)
    rest = centre - design @ fit
    found = []
    for one, two in combinations(range(len(block.methods)), 2):
        values = block.values[one] - block.values[two]
        means, common = values.mean(axis=1), values.mean(axis=0)
        tasks, seeds = values.shape
        noise = float(((rest @ means) ** 2).sum() / np.trace(rest))
        forgotten, retained = (fit @ means)[:count], (fit @ means)[count:]
        cell = float((values - means[:, None] - common + common.mean()).var() * values.size)
        cell /= max((tasks - 1) * (seeds - 1), 1)
        run = float(common.var(ddof=1)) - cell / tasks if seeds > 1 else 0.0
        extra = noise * fit @ fit.T
        found.append(
            (
                (forgotten @ forgotten - np.trace(extra[:count, :count])) / (count - 1),
                (retained @ retained - np.trace(extra[count:, count:])) / (count - 1),
                (forgotten @ retained - np.trace(extra[:count, count:])) / (count - 1),
                noise - cell / seeds,
                cell,
                run,
            )
        )
    forgets, retains, both, task, cell, run = np.mean(found, axis=0)
    a, b, own, seed, whole = np.sqrt(np.maximum([forgets, retains, task, cell, run], 0))
    alike = float(np.clip(both / (a * b), -1, 1)) if a * b else 0.0
    return Effects(float(a), float(b), float(own), float(seed), float(whole), alike=alike)
