from __future__ import annotations

import numpy as np
import pytest

from adu_bench.core.errors import UserError
from adu_bench.maintenance.boards import Effects, board
from adu_bench.stats.across import compare_across
from adu_bench.stats.paired import difference
from adu_bench.stats.resampling import cluster_bootstrap


def pairs(count: int, size: int | None = None):
    rng = np.random.default_rng(count)
    return {f"s{place}": (board(rng, Effects(0.1, seed=0.1)), size) for place in range(count)}


def each_its_own(made):
    return {suite: f"data of {suite}" for suite in made}


def test_each_suite_is_compared_and_six_get_a_joint_estimate():
    made = pairs(6)
    found = compare_across(made, each_its_own(made))
    assert found.suites == {suite: difference(pair, None) for suite, (pair, _) in made.items()}
    assert found.together == cluster_bootstrap({s: p.by_task[0] - p.by_task[1] for s, (p, _) in made.items()})
    assert found.together.value == pytest.approx(np.mean([one.domains.value for one in found.suites.values()]))
    assert (found.together.units, found.reason) == (6, "")


def test_tasks_can_be_restricted_to_one_number_of_forget_domains():
    made = pairs(6, 2)
    found = compare_across(made, each_its_own(made))
    assert found.together.tasks == 6 * 6
    assert found.together.value == pytest.approx(np.mean([one.domains.value for one in found.suites.values()]))


def test_five_are_too_few_for_a_joint_estimate():
    made = pairs(5)
    found = compare_across(made, each_its_own(made))
    assert len(found.suites) == 5
    assert found.together is None
    assert found.reason == "There are too few data sets for a joint estimate: 5; a bootstrap over data sets needs 6."


def test_the_same_images_do_not_count_twice():
    with pytest.raises(UserError, match="'s0' and 's2' use the same images") as refusal:
        compare_across(pairs(3), {"s0": "emoji", "s1": "pacs", "s2": "emoji"})
    assert "--suite s0,s1,s2" in str(refusal.value)
