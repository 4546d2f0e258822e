from __future__ import annotations

import numpy as np
import pytest

from adu_bench.stats.descriptive import improvement, profile
from adu_bench.stats.scores import Scores

VALUES = np.array([[[3.0, 1.0], [2.0, 2.0], [0.0, 1.0]], [[2.0, 2.0], [2.0, 2.0], [3.0, 3.0]]])
PAIR = Scores("h", ("x", "y"), ("a", "b", "c"), (1, 2), (("a",), ("b",), ("c",)), VALUES)


def test_probability_of_improvement_by_hand():
    # Against (2, 2): 3 wins, 1 loses: .5; all ties: .5; both lose: 0.
    assert improvement(PAIR, "x", "y") == pytest.approx(1 / 3)
    assert improvement(PAIR, "y", "x") == pytest.approx(2 / 3)


def test_profiles_count_runs_above_a_threshold():
    found = profile(PAIR, np.array([0.0, 2.0, 4.0]))
    assert found["x"].to_list() == [1, 3 / 6, 0]
    assert found["y"].to_list() == [1, 1, 0]
