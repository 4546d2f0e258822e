from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adu_bench.core.errors import UserError
from adu_bench.maintenance.boards import Effects, board, subsets
from adu_bench.stats.estimates import over_domains
from adu_bench.stats.power import chance, detectable, power_of
from adu_bench.stats.resampling import cluster_bootstrap


@pytest.mark.parametrize(("df", "shift"), [(3, 0.5), (3, 4.0), (13, 2.5), (2, 20.0)])
def test_chance_is_that_of_the_non_central_t(df, shift):
    critical = stats.t.ppf(0.975, df)
    assert chance(shift, 1.0, df) == pytest.approx(stats.nct.sf(critical, df, shift), abs=1e-9)


def test_the_detectable_difference_is_found_with_80_percent_power():
    """Single-domain tasks with a true spread of 1: simulated, up to three standard errors of 2,000 draws."""
    size = detectable(0.5, 3)
    drawn = np.random.default_rng(0).normal(size, 1.0, (2_000, 4))
    found = [over_domains(values, subsets(4, (1,))).p < 0.05 for values in drawn]
    assert np.mean(found) == pytest.approx(0.8, abs=0.027)


def test_more_domains_or_seeds_are_needed_for_less():
    pair = board(np.random.default_rng(1), Effects(0.02, task=0.01, seed=0.02))
    small, large = power_of(pair, 0.02), power_of(pair, 0.06)
    assert [one.size for one in small] == [1, 2, 3, None]
    for one, other in zip(small, large, strict=True):
        assert one.detectable == other.detectable
        assert one.detectable_low < one.detectable < one.detectable_high
        assert one.domains_needed >= other.domains_needed
        assert one.seeds_needed_here >= other.seeds_needed_here
    assert small[1].tasks_needed == small[1].domains_needed * (small[1].domains_needed - 1) / 2


def test_the_needed_number_of_domains_is_the_smallest():
    pair = board(np.random.default_rng(2), Effects(0.02, seed=0.01))
    one = power_of(pair, 0.02)[0]
    spread = 2 * over_domains(pair.by_task[0] - pair.by_task[1], pair.forget).error
    assert chance(0.02, spread / np.sqrt(one.domains_needed), one.domains_needed - 1) >= 0.8
    assert chance(0.02, spread / np.sqrt(one.domains_needed - 1), one.domains_needed - 2) < 0.8


def test_no_number_of_seeds_compensates_for_differing_domains():
    assert power_of(board(np.random.default_rng(3), Effects(0.1, seed=0.01)), 0.02)[0].seeds_needed is None
    noisy = board(np.random.default_rng(4), Effects(0.0, seed=0.05))
    assert power_of(noisy, 0.05)[0].seeds_needed > 3


def test_one_seed_gives_the_power_for_other_domains_only():
    one = power_of(board(np.random.default_rng(5), Effects(0.05), seeds=1), 0.02)[0]
    assert one.detectable is not None
    assert (one.detectable_here, one.seeds_needed, one.seeds_needed_here) == (None, None, None)


@pytest.mark.parametrize("count", [1, 5])
def test_a_bootstrap_over_few_data_sets_is_refused(count):
    with pytest.raises(UserError, match="too few data sets") as refusal:
        cluster_bootstrap({str(number): [0.1, 0.2] for number in range(count)})
    assert "needs 6" in str(refusal.value)


def test_a_bootstrap_over_data_sets_is_repeatable_and_gives_them_equal_weights():
    rng = np.random.default_rng(6)
    values = {str(number): rng.normal(0.1, 0.1, 1 + 3 * number) for number in range(6)}
    found = cluster_bootstrap(values)
    assert found == cluster_bootstrap(values)
    assert found.value == pytest.approx(np.mean([own.mean() for own in values.values()]))
    assert found.low < found.value < found.high
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
