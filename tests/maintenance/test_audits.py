"""Faithfulness and robustness of attacks, from made-up measurements."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from adu_bench.leaderboard.measurements import COLUMNS
from adu_bench.maintenance.audits import auc, check_attacks, rank_correlation

NAMES = {"class-probe": "recovery", "relearning": "recovery"}


def made(values, seeds=(1, 2), tasks=("a", "b")) -> pd.DataFrame:
    """Measurements of both attacks; ``values`` are by method, or functions of the seed."""
    rows = [
        ("k", method, task, seed, audit, metric, value(seed) if callable(value) else value, 10, "c")
        for method, value in values.items()
        for task in tasks
        for seed in seeds
        for audit, metric in NAMES.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


NOBODY = made({}).drop(columns="key")


def of(found, name):
    return {check.name: check for check in found}[name]


def test_an_attack_that_reads_collapse_as_empty_is_faithful():
    found = check_attacks(made({"zero-shot": 1.0, "prompt-tuning": 0.9, "collapse": 0.0}), NOBODY)
    assert of(found, "relearning").silent == 1.0
    assert [check.name for check in found] == ["class-probe", "relearning"]


def test_an_attack_that_reads_it_as_full_is_not():
    found = check_attacks(made({"zero-shot": 1.0, "collapse": 1.0}), NOBODY)
    assert of(found, "relearning").silent == 0.5


def test_collapse_knows_for_attacks_on_features():
    oracle = made({"oracle": 0.5}, seeds=(1,)).drop(columns="key")
    found = check_attacks(made({"zero-shot": 1.0, "collapse": 0.4}), oracle)
    probe = of(found, "class-probe")
    assert probe.silent is None
    # Half of what knows is above the oracle, so a probe that cannot read collapse's features is found out.
    assert probe.oracle == 0.5
    assert of(found, "relearning").oracle == 1.0


def test_without_controls_or_oracle_there_is_no_auc():
    found = check_attacks(made({"adu": 0.5}), NOBODY)
    assert (found[0].silent, found[0].oracle, found[0].correlation) == (None, None, None)
    assert check_attacks(made({}), NOBODY) == []


def test_auc_counts_ties_as_half():
    assert auc(np.array([1.0, 0.5]), np.array([0.5, 0.0])) == pytest.approx(3.5 / 4)
    assert auc(np.array([0.1 + 0.2]), np.array([0.3])) == 0.5


def test_the_same_order_with_every_seed_is_robust():
    own = made({"a": lambda seed: 0.1 * seed, "b": lambda seed: 0.2 * seed, "c": lambda seed: 0.3 * seed})
    assert rank_correlation(own[own["audit"] == "relearning"]) == (pytest.approx(1.0), 3, 2)


def test_an_order_that_turns_with_the_seed_is_not():
    own = made({"a": lambda seed: 0.1 * seed, "b": 0.15, "c": lambda seed: 0.3 - 0.1 * seed})
    assert rank_correlation(own[own["audit"] == "relearning"])[0] == pytest.approx(-1.0)


def test_equal_readings_have_no_order():
    own = made({"a": 1.0, "b": 1.0, "c": 1.0})
    assert rank_correlation(own[own["audit"] == "relearning"])[0] is None


def test_methods_without_all_seeds_are_left_out():
    own = made({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4})
    own = own[(own["audit"] == "relearning") & ~((own["method"] == "d") & (own["seed"] == 2))]
    assert rank_correlation(own) == (pytest.approx(1.0), 3, 2)
