from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adu_bench.stats.chance import chance, detectable
from adu_bench.stats.domains import on_other_domains
from adu_bench.stats.estimates import combined, on_these_tasks
from adu_bench.stats.power import domains_needed, power_here
from tests.stats.test_domains import subsets


@pytest.mark.parametrize(("df", "shift"), [(3, 0.5), (3, 4.0), (13, 2.5), (2, 20.0), (4.3, 3.0)])
def test_chance_is_that_of_the_non_central_t(df, shift):
    critical = stats.t.ppf(0.975, df)
    assert chance(shift, 1.0, df) == pytest.approx(stats.nct.sf(critical, df, shift), abs=1e-9)


@pytest.mark.parametrize(("spread", "needed"), [(5.0, 14), (6.2, 20), (8.26, 33)])
def test_domains_needed_for_4_2_points(spread, needed):
    assert domains_needed(spread, 4.2) == needed
    assert chance(4.2, spread / np.sqrt(needed), needed - 1) >= 0.8
    assert chance(4.2, spread / np.sqrt(needed - 1), needed - 2) < 0.8


def test_no_number_of_domains_finds_next_to_nothing():
    assert domains_needed(8.0, 0.1) is None


@pytest.mark.parametrize("domains", [4, 8, 20, 33])
def test_the_stated_number_of_domains_has_about_80_per_cent_power(domains):
    """3,000 draws (one standard error: .7 points), tasks that forget one domain or all but one.

    The noise of single tasks is three tenths of the spread.  It is in the spread of the averages in full, but less of
    it is in the mean, so the power may be above 80 % by a few points, but not below.
    """
    rng = np.random.default_rng(domains)
    noise, spread = 0.3, np.hypot(1.0, 0.3 * np.sqrt(2) * (domains - 1) / (domains - 2))
    wanted = detectable(spread / np.sqrt(domains), domains - 1)
    assert domains_needed(spread, wanted * (1 + 1e-6)) == domains
    forget, names = subsets(domains, (1, domains - 1))
    gone = np.array([[name in task for name in names] for task in forget])
    shares, rest = gone / gone.sum(axis=1, keepdims=True), ~gone / (~gone).sum(axis=1, keepdims=True)
    found = []
    for _ in range(3_000):
        forgotten, kept = rng.normal(0, np.sqrt(0.5), (2, domains))
        values = wanted + shares @ forgotten + rest @ kept + rng.normal(0, noise, len(forget))
        estimate = on_other_domains(values, forget, names).estimate
        found.append(estimate.low > 0)
    assert 0.78 <= np.mean(found) <= 0.88


def test_more_seeds_shrink_the_seeds_part_alone():
    estimate = combined(0.04, 0.5**2, 0.6**2, 0.2**2, (2, 440), 14)
    large, small = (power_here(estimate, None, 3, 441, wanted) for wanted in (2.0, 1.0))
    assert large.detectable == small.detectable == pytest.approx(detectable(estimate.error, estimate.df))
    rest = np.sqrt(0.6**2 - 0.2**2)
    assert large.with_any_seeds == pytest.approx(detectable(rest, 440))
    assert small.seeds_needed is None
    assert large.seeds_needed > 3


def test_the_needed_number_of_seeds_is_the_smallest_and_has_the_power():
    """1,500 boards of the stated number of seeds (one standard error: 1 point) have at least 77 % power."""
    rng, clusters = np.random.default_rng(0), 441
    seed, image, both = 0.8, 0.6 * np.sqrt(clusters), 0.3 * np.sqrt(clusters)
    estimate = combined(0.0, (seed**2 + 0.3**2) / 3, 0.6**2 + 0.3**2 / 3, 0.3**2 / 3, (2, clusters - 1), 1)
    needed = power_here(estimate, None, 3, clusters, 2.5).seeds_needed
    found = []
    for _ in range(1_500):
        effects = rng.normal(0, image, clusters) + rng.normal(0, both, (needed, clusters))
        means = 2.5 + rng.normal(0, seed, needed) + effects.mean(axis=1)
        found.append(on_these_tasks(means, (effects - effects.mean(axis=1, keepdims=True)) / clusters, 1).low > 0)
    assert np.mean(found) == pytest.approx(0.82, abs=0.05)


def test_one_seed_says_nothing():
    found = power_here(on_these_tasks(np.array([0.1]), np.zeros((1, 9)), 4), 1, 1, 9, 0.02)
    assert (found.detectable, found.with_any_seeds, found.seeds_needed) == (None, None, None)


def test_a_spread_that_is_not_a_number_needs_no_number_of_domains():
    assert domains_needed(float("nan"), 0.02) is None
