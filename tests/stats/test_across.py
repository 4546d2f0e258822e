from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adu_bench.core.errors import UserError
from adu_bench.stats.across import compare_across
from adu_bench.stats.estimates import student


def suites(*values: float):
    return {f"s{place}": student(value, 0.01, 5, 14) for place, value in enumerate(values)}


def each_its_own(made):
    return {suite: f"data of {suite}" for suite in made}


def test_data_sets_weigh_the_same_and_get_students_t():
    values = (0.02, 0.05, 0.01, 0.04)
    found, theirs = compare_across(suites(*values), each_its_own(suites(*values))), stats.ttest_1samp(values, 0)
    assert found.together.value == pytest.approx(np.mean(values))
    assert found.together.p == pytest.approx(theirs.pvalue)
    assert (found.together.df, found.together.tasks, found.reason) == (3, 56, "")


def test_two_are_too_few_for_a_joint_estimate():
    found = compare_across(suites(0.1, 0.2), each_its_own(suites(0.1, 0.2)))
    assert len(found.suites) == 2
    assert found.together is None
    assert found.reason == "There are too few data sets for a joint estimate: 2; an interval needs 3."


def test_the_same_images_do_not_count_twice():
    with pytest.raises(UserError, match="'s0' and 's2' use the same images") as refusal:
        compare_across(suites(0.1, 0.2, 0.3), {"s0": "emoji", "s1": "pacs", "s2": "emoji"})
    assert "--suite s0,s1,s2" in str(refusal.value)
