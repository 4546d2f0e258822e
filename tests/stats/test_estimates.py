from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adu_bench.maintenance.boards import Effects, board, subsets
from adu_bench.stats.estimates import membership, noise_share, over_domains, over_seeds, tells_roles_apart
from adu_bench.stats.summary import interquartile_mean, summarise, worst

FORGET = subsets()
ALONE = FORGET[:4]


def test_over_tasks_that_forget_one_domain_it_is_the_ordinary_t_test():
    values = np.random.default_rng(0).normal(0.02, 0.05, 4)
    found, theirs = over_domains(values, ALONE), stats.ttest_1samp(values, 0)
    interval = theirs.confidence_interval()
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.df, found.units, found.tasks) == (3, 4, 4)


@pytest.mark.parametrize("size", [None, 1, 2, 3])
def test_the_view_decides_the_mean_and_all_tasks_its_error(size):
    values = np.random.default_rng(1).normal(0.02, 0.05, len(FORGET))
    view = np.array([size is None or len(task) == size for task in FORGET])
    found, whole = over_domains(values, FORGET, view), over_domains(values, FORGET)
    assert found.value == pytest.approx(values[view].mean())
    assert (found.error, found.df) == (pytest.approx(whole.error), 3)


@pytest.mark.parametrize("forget", [FORGET, subsets(6), subsets(4, (1, 2)), ALONE, subsets(5, (2,))], ids=len)
def test_noise_of_single_tasks_is_never_counted_less_than_it_is(forget):
    for size in (None, *{len(task) for task in forget}):
        view = np.array([size is None or len(task) == size for task in forget])
        assert noise_share(forget, view) >= 1 / view.sum() - 1e-12


@pytest.mark.parametrize("sizes", [(1, 2, 3), (1, 2), (1, 3)])
def test_the_sums_of_a_domains_two_effects_are_found_again(sizes):
    """Every mean over tasks of one size is the mean of these sums."""
    rng = np.random.default_rng(2)
    forgotten, retained = rng.normal(size=(2, 4))
    forget = subsets(4, sizes)
    gone = np.array([[f"d{domain}" in task for domain in range(4)] for task in forget])
    values = np.array([forgotten[own].mean() + retained[~own].mean() for own in gone])
    for size in (None, *sizes):
        found = over_domains(values, forget, [size is None or len(task) == size for task in forget])
        assert found.value == pytest.approx((forgotten + retained).mean())
        assert found.error == pytest.approx((forgotten + retained).std(ddof=1) / 2)


@pytest.mark.parametrize("domains", range(4, 34))
def test_the_error_is_right_from_4_to_33_domains(domains):
    """Designs lack full rank: inverting their zero singular values gave errors of 1e13 from 10 domains on."""
    rng = np.random.default_rng(domains)
    forgotten, retained = rng.normal(size=(2, domains))
    for sizes in ((1, 2), (1, 2, 3)) if domains < 15 else ((1, 2),):
        forget = subsets(domains, sizes)
        gone = membership(forget)
        values = (gone @ forgotten) / gone.sum(axis=1) + ((1 - gone) @ retained) / (1 - gone).sum(axis=1)
        error = over_domains(values, forget).error
        assert error == pytest.approx((forgotten + retained).std(ddof=1) / np.sqrt(domains))
    pairs = subsets(domains, (2,))
    gone = membership(pairs)
    error = over_domains(gone @ forgotten, pairs).error
    assert error == pytest.approx(2 * forgotten.std(ddof=1) / np.sqrt(domains))


def test_levels_of_sizes_do_not_count_as_differences_of_domains():
    values = np.array([10.0 * len(task) for task in FORGET])
    assert over_domains(values, FORGET).error == pytest.approx(0, abs=1e-9)


def test_tasks_of_one_size_do_not_identify_both_effects():
    assert tells_roles_apart(FORGET)
    assert tells_roles_apart(subsets(6))
    assert not tells_roles_apart(ALONE)
    assert not tells_roles_apart(subsets(5, (2,)))


def test_effects_of_domains_forgotten_in_pairs_alone():
    """Without other sizes one effect per domain is fitted, in the tasks that forget it."""
    effects = np.random.default_rng(2).normal(size=5)
    forget = subsets(5, (2,))
    values = np.array([sum(effects[int(domain[-1])] for domain in task) for task in forget])
    assert over_domains(values, forget).error == pytest.approx(np.sqrt(5 * 0.4**2) * effects.std(ddof=1))


def test_tasks_without_a_common_domain_get_the_t_test():
    values = np.array([0.1, 0.3, 0.2])
    found = over_domains(values, [("a", "b"), ("c", "d"), ("e", "f")])
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_two_domains_or_seeds_are_too_few():
    found = over_domains(np.array([0.1, 0.2]), [("a",), ("b",)])
    assert (found.low, found.p) == (None, None)
    assert "Too few domains" in found.reason
    assert found.value == pytest.approx(0.15)
    assert "Too few seeds: there are 2" in over_seeds(np.ones((4, 2))).reason


def test_equal_methods_have_an_interval_of_width_zero():
    found = over_domains(np.zeros(14), FORGET)
    assert (found.low, found.high, found.p) == (0, 0, 1)


def test_over_seeds_is_the_t_test_of_the_seeds_means():
    values = np.random.default_rng(2).normal(size=(14, 3))
    theirs = stats.ttest_1samp(values.mean(axis=0), 0)
    assert over_seeds(values).p == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize("count", [3, 4, 6, 14])
def test_the_interquartile_mean_is_scipys(count):
    values = np.random.default_rng(3).normal(size=count)
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_a_summary_names_the_worst_task_and_stays_possible():
    drawn = 0.9 + 0.2 * board(np.random.default_rng(4), Effects(1.0, seed=0.1)).values[0]
    found = summarise(drawn.clip(0, 1), FORGET)
    assert found.worst_task == drawn.clip(0, 1).mean(axis=1).argmin()
    for estimate in (found.mean, found.middle, found.worst):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_the_worst_of_many_equal_tasks_gets_a_wider_upper_end():
    rng = np.random.default_rng(5)
    noise = rng.normal(0.5, 0.01, (14, 3))
    clear = noise + np.linspace(0, 0.4, 14)[:, None]
    close, apart = worst(noise), worst(clear)
    assert close.high - close.value > apart.high - apart.value
    assert close.value - close.low == pytest.approx(apart.value - apart.low)
