from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from adu_bench.stats.domains import by_domain, on_other_domains


def subsets(domains: int = 4, sizes=(1, 2, 3)) -> tuple[list[tuple[str, ...]], list[str]]:
    names = [f"d{number}" for number in range(domains)]
    return [chosen for size in sizes for chosen in combinations(names, size)], names


FORGET, NAMES = subsets()


@pytest.mark.parametrize(
    ("seed", "low", "high", "p"),
    [
        (0, -0.16110910344, 0.22157505075, 0.6496694597),
        (1, -0.08065974485, 0.17715848977, 0.31924396807),
        (2, -0.01703155163, 0.09255262961, 0.11590495041),
    ],
)
def test_with_four_domains_it_is_the_least_squares_fit_of_both_effects(seed, low, high, p):
    """Stored results of the fit that the project used before, for arbitrary values of all 14 tasks."""
    values = np.random.default_rng(seed).normal(0.04, 0.06, 14)
    found = on_other_domains(values, FORGET, NAMES).estimate
    assert (found.low, found.high, found.p) == pytest.approx((low, high, p), abs=1e-9)
    assert found.value == pytest.approx(values.mean())


@pytest.mark.parametrize("domains", [3, 4, 10, 33])
def test_the_spread_is_that_of_the_sums_of_a_domains_two_effects(domains):
    rng = np.random.default_rng(domains)
    forgotten, kept = rng.normal(size=(2, domains))
    forget, names = subsets(domains, (1, domains - 1))
    gone = np.array([[name in task for name in names] for task in forget])
    values = np.array([forgotten[own].mean() + kept[~own].mean() for own in gone])
    found = on_other_domains(values, forget, names)
    assert found.spread == pytest.approx((forgotten + kept).std(ddof=1))
    assert found.estimate.value == pytest.approx((forgotten + kept).mean())
    assert found.estimate.error == pytest.approx((forgotten + kept).std(ddof=1) / np.sqrt(domains))
    assert by_domain(values, forget, names).mean() == pytest.approx((forgotten + kept).mean())


@pytest.mark.parametrize(("forget", "names"), [subsets(4, (1,)), subsets(4, (1, 2)), subsets(4, (2, 3))])
def test_both_kinds_of_task_are_needed_for_each_domain(forget, names):
    found = on_other_domains(np.arange(len(forget), dtype=float), forget, names)
    assert (found.estimate, found.spread, found.detectable) == (None, None, None)
    assert "the task that forgets it alone and the one that keeps it alone" in found.reason


def test_two_domains_are_too_few():
    assert on_other_domains(np.array([0.1, 0.2]), [("a",), ("b",)], ["a", "b"]).reason == "an interval needs 3 domains"


def test_false_positives_with_domain_effects():
    """4,000 draws, four domains, correlated effects and noise of tasks: at most 6 % (three standard errors: 1 %)."""
    rng, wrong = np.random.default_rng(0), 0
    gone = np.array([[name in task for name in NAMES] for task in FORGET])
    shares, rest = gone / gone.sum(axis=1, keepdims=True), ~gone / (~gone).sum(axis=1, keepdims=True)
    for _ in range(4_000):
        forgotten = rng.normal(size=4)
        kept = 0.8 * forgotten + 0.9 * rng.normal(size=4)
        values = shares @ forgotten + rest @ kept + 0.4 * rng.normal(size=14)
        wrong += on_other_domains(values, FORGET, NAMES).estimate.p < 0.05
    assert wrong / 4_000 <= 0.06


def test_the_detectable_difference_of_four_domains():
    """Non-central t with three degrees of freedom: 80 % power at 4.26 standard errors."""
    values = np.random.default_rng(1).normal(size=14)
    found = on_other_domains(values, FORGET, NAMES)
    assert found.detectable == pytest.approx(4.26 * found.estimate.error, rel=0.005)
