from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adu_bench.stats.estimates import combined, on_these_tasks, student


def test_without_noise_of_images_it_is_the_t_test_of_the_seeds_means():
    means = np.array([0.02, 0.05, 0.03, 0.06])
    found, theirs = on_these_tasks(means, np.zeros((4, 50)), 14), stats.ttest_1samp(means, 0)
    interval = theirs.confidence_interval()
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.df, found.tasks) == (pytest.approx(3), 14)


def test_without_noise_of_seeds_it_is_the_t_test_over_clusters():
    values = np.random.default_rng(0).normal(0.1, 1, 50)
    found = on_these_tasks(np.full(3, values.mean()), np.tile((values - values.mean()) / 50, (3, 1)), 1)
    theirs = stats.ttest_1samp(values, 0)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.df == pytest.approx(49)


def test_variances_add_and_degrees_of_freedom_lie_between():
    found = combined(0.03, 0.51**2, 0.61**2, 0.0, (2, 440), 14)
    assert found.error == pytest.approx(0.795, abs=0.001)
    share = 0.51**2 / (0.51**2 + 0.61**2)
    assert found.df == pytest.approx(1 / (share / 2 + (1 - share) / 440))


def test_the_interaction_is_in_both_and_the_seeds_part_is_never_below_it():
    plain, crossed = (combined(0.0, 0.25, 0.36, each, (2, 440), 14) for each in (0.0, 0.1))
    assert crossed.error**2 == pytest.approx(plain.error**2 - 0.1)
    lucky = combined(0.0, 0.0001, 0.36, 0.1, (2, 440), 14)
    assert lucky.error**2 == pytest.approx(0.36)


def test_two_seeds_are_too_few():
    found = on_these_tasks(np.array([0.1, 0.2]), np.zeros((2, 9)), 4)
    assert (found.low, found.high, found.p) == (None, None, None)
    assert found.value == pytest.approx(0.15)
    assert found.reason == "Too few seeds: there are 2; an interval needs 3."


def test_equal_methods_have_an_interval_of_width_zero():
    found = on_these_tasks(np.zeros(3), np.zeros((3, 9)), 4)
    assert (found.low, found.high, found.p) == (0, 0, 1)
    assert student(0.2, 0.0, 3, 4).p == 0


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_false_positives_stay_below_6_per_cent(seeds, share):
    """40,000 draws of both variances: the share is known to .12 points.  Satterthwaite's formula gave up to 7.7 %.

    ``share`` is that of the seeds beyond the interaction, which is a tenth of the rest.
    """
    rng, draws = np.random.default_rng(seeds), 40_000
    interaction = 0.1 * (1 - share)
    own = (share + interaction) * rng.chisquare(seeds - 1, draws) / (seeds - 1)
    images = (1 - share) * rng.chisquare(440, draws) / 440
    values = rng.normal(size=draws)
    found = [
        combined(value, one, two, interaction, (seeds - 1, 440), 1).p < 0.05
        for value, one, two in zip(values, own, images, strict=True)
    ]
    assert 0.025 < np.mean(found) < 0.06
