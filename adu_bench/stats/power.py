"""Power of a comparison: which difference can be detected, and how many seeds or domains a smaller one needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from adu_bench.stats.chance import POWER, chance, detectable
from adu_bench.stats.domains import FEWEST_DOMAINS, OtherDomains
from adu_bench.stats.estimates import FEWEST_SEEDS, Estimate, combined
from adu_bench.stats.sample import Sample

MOST = 1_000
"""Largest number of seeds or domains that is tried."""


@dataclass(frozen=True)
class Power:
    """What a comparison of two methods can show on these tasks.

    Parameters
    ----------
    size
        Number of forget domains, None for all tasks.
    tasks, seeds
        Their numbers.
    detectable
        Smallest difference that is found with 80 % power; None if there are too few seeds.
    with_any_seeds
        The same for very many seeds, when only the test images are left; None likewise.
    seeds_needed
        Number of seeds that find the wanted difference; None if no number does, or there are too few seeds.
    """

    size: int | None
    tasks: int
    seeds: int
    detectable: float | None
    with_any_seeds: float | None
    seeds_needed: int | None


@dataclass(frozen=True)
class Powers:
    """What a comparison of two methods can show of H.

    Parameters
    ----------
    here
        On these tasks, by number of forget domains and for all tasks.
    domains
        The difference on other domains.
    domains_needed
        Number of domains that find the wanted difference, each with two tasks; None if there is no estimate, or a
        thousand do not.
    """

    here: tuple[Power, ...]
    domains: OtherDomains
    domains_needed: int | None


def powers(a: str, b: str, samples: Mapping[int | None, Sample], domains: OtherDomains, wanted: float) -> Powers:
    """Return which differences of H can be detected.

    Parameters
    ----------
    a, b
        The methods.
    samples
        The samples of both for each number of forget domains and for all tasks.
    domains
        Their difference on other domains.
    wanted
        The difference that is to be found, a fraction.
    """
    here = []
    for size, sample in samples.items():
        *_, clusters = sample.influences["h"].shape
        here.append(power_here(sample.difference(a, b), size, len(sample.seeds), clusters, wanted))
    needed = None if domains.spread is None else domains_needed(domains.spread, wanted)
    return Powers(tuple(here), domains, needed)


def power_here(estimate: Estimate, size: int | None, seeds: int, clusters: int, wanted: float) -> Power:
    """Return the power of a comparison on these tasks.

    Parameters
    ----------
    estimate
        The difference, see `adu_bench.stats.estimates.on_these_tasks`.
    size
        Number of forget domains of its tasks, None for all.
    seeds, clusters
        Numbers of seeds and of clusters of test images.
    wanted
        The difference that is to be found.
    """
    if estimate.seeds is None or estimate.images is None or estimate.interaction is None:
        return Power(size, estimate.tasks, seeds, None, None, None)
    # Per seed; what differs between seeds shrinks with their number, the rest does not.
    own = max(estimate.seeds, estimate.interaction) ** 2 * seeds
    rest = max(estimate.images**2 - estimate.interaction**2, 0.0)

    def with_seeds(count: int) -> float:
        found = combined(0.0, own / count, rest, 0.0, (count - 1, clusters - 1), estimate.tasks)
        return chance(wanted, found.error or 0.0, found.df or 1.0)

    images = float(np.sqrt(rest))
    return Power(
        size=size,
        tasks=estimate.tasks,
        seeds=seeds,
        detectable=detectable(estimate.error, estimate.df or 1.0),
        with_any_seeds=detectable(images, clusters - 1),
        seeds_needed=_first(with_seeds, FEWEST_SEEDS) if chance(wanted, images, clusters - 1) >= POWER else None,
    )


def domains_needed(spread: float, wanted: float) -> int | None:
    """Return the number of domains that find a difference; None if a thousand do not.

    Parameters
    ----------
    spread
        Standard deviation over domains, see `adu_bench.stats.domains.OtherDomains`.
    wanted
        The difference that is to be found.

    Notes
    -----
    Each domain needs two tasks, one that forgets it alone and one that keeps it alone.  The spread contains the noise
    of these two, which therefore does not shrink with further tasks.
    """
    return _first(lambda count: chance(wanted, spread / np.sqrt(count), count - 1), FEWEST_DOMAINS)


def _first(chance_with: Callable[[int], float], least: int) -> int | None:
    """Return the smallest number that reaches the power; None if none up to `MOST` does."""
    if not chance_with(MOST) >= POWER:  # nor if it is NaN
        return None
    return next(count for count in range(least, MOST + 1) if chance_with(count) >= POWER)
