from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adu_bench.metrics.evidence import Evidence, credit, harmonic
from adu_bench.metrics.frame import score
from adu_bench.metrics.measures import METRICS, measure
from adu_bench.metrics.probe import domain_probe_accuracy
from adu_bench.store import Store
from tests.conftest import make_predictions, make_spec, random_predictions, write_run

fractions = st.floats(0, 1)


@given(fractions, fractions)
def test_the_harmonic_mean_lies_between_and_is_symmetric(one, other):
    value = harmonic(one, other)
    assert value == harmonic(other, one)
    assert min(one, other) - 1e-12 <= value <= max(one, other) + 1e-12 or value == 0
    assert value <= (one + other) / 2 + 1e-12


def test_harmonic_of_nothing_is_nothing():
    assert harmonic(0, 0) == 0
    assert harmonic(0, 1) == 0
    assert harmonic(0.5, 0.5) == 0.5


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(2, 6))
def test_measures_stay_in_their_declared_ranges(seed, classes):
    frame = random_predictions(seed, classes=classes)
    found = measure(frame, classes, Evidence(random_predictions(seed + 1, classes=classes), classes))
    for name, (value, count) in found.items():
        metric = METRICS[name.partition(":")[0]]
        assert metric.low <= value <= metric.high
        assert 0 < count <= len(frame)
    assert found["h"][0] == pytest.approx(harmonic(found["mem"][0], found["for"][0]))


@settings(deadline=None)
@given(st.integers(0, 100))
def test_order_does_not_matter(seed):
    frame = random_predictions(seed)
    shuffled = frame.sample(frac=1, random_state=seed)
    for name, (value, count) in measure(frame, 3).items():
        assert measure(shuffled, 3)[name] == (pytest.approx(value), count)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_a_uniform_answer_scores_one_over_c_for_every_label(classes):
    labels = np.arange(60) % classes
    uniform = np.full((60, classes), 1 / classes)
    frame = make_predictions(uniform, labels, ["a", "b", "c"] * 20, ("b",))
    assert credit(frame) == pytest.approx(1 / classes)
    found = measure(frame, classes)
    assert found["mem"][0] == pytest.approx(1 / classes)
    assert found["for"][0] == pytest.approx(1 - 1 / classes)


def test_mem_and_for_pool_images():
    """Four images of 'a' (one wrong), one of 'c' (wrong), two of 'b' to forget (one wrong)."""
    labels = np.zeros(7, int)
    right, wrong = [0.8, 0.2], [0.3, 0.7]
    p = np.array([right, right, right, wrong, wrong, right, wrong])
    frame = make_predictions(p, labels, ["a"] * 4 + ["c"] + ["b"] * 2, ("b",))
    found = measure(frame, 2)
    assert found["mem"] == (pytest.approx(3 / 5), 5)
    assert found["for"] == (pytest.approx(1 / 2), 2)
    assert found["worst_retain"][0] == 0
    assert found["accuracy:a"] == (pytest.approx(3 / 4), 4)


def test_normalised_forgetting_is_one_at_chance_and_zero_before():
    before = random_predictions(3, count=300, classes=4)
    before.loc[:, ["p_label", "tied"]] = before[["p_max"]].assign(tied=1).to_numpy()  # zero-shot is always right
    before = before.astype({"tied": "int16"})
    assert measure(before, 4, Evidence(before, 4))["normalised_forgetting"][0] == pytest.approx(0)
    assert measure(before, 4, Evidence(before, 4))["retain_drop"][0] == pytest.approx(0)
    uniform = make_predictions(np.full((300, 4), 0.25), before["label"].to_numpy(), list(before["domain"]), ("b",))
    found = measure(uniform, 4, Evidence(before, 4))
    assert found["normalised_forgetting"][0] == pytest.approx(1)
    assert found["retain_drop"][0] == pytest.approx(0.75)


def test_nothing_to_forget_leaves_the_measure_out():
    uniform = make_predictions(np.full((30, 3), 1 / 3), np.zeros(30, int), ["a", "b", "c"] * 10, ("b",))
    assert "normalised_forgetting" not in measure(random_predictions(1, 30), 3, Evidence(uniform, 3))


@pytest.mark.parametrize(("right", "there"), [(12, False), (20, True)])
def test_zero_shot_near_chance_leaves_no_share_to_forget(right, there):
    """Of 30 images and 3 classes, chance is 10 and two standard errors are 5.2."""
    labels, domains = np.zeros(90, int), ["a"] * 30 + ["b"] * 30 + ["c"] * 30
    probabilities = np.tile([0.2, 0.5, 0.3], (90, 1))
    probabilities[30 : 30 + right] = [0.8, 0.1, 0.1]
    before = make_predictions(probabilities, labels, domains, ("b",))
    found = measure(
        random_predictions(1, 90).assign(domain=domains, forget=[name == "b" for name in domains]),
        3,
        Evidence(before, 3),
    )
    assert ("normalised_forgetting" in found) is there


def test_a_probe_finds_domains_that_are_there_and_none_that_are_not():
    rng = np.random.default_rng(0)
    domains = np.array(["a", "b", "c"] * 60)
    noise = rng.normal(size=(180, 10))
    apart = noise + 8 * np.eye(10)[np.unique(domains, return_inverse=True)[1]]
    assert domain_probe_accuracy(apart, domains) > 0.98
    assert abs(domain_probe_accuracy(noise, domains) - 1 / 3) < 0.12


def test_the_long_frame_compares_with_zero_shot_where_it_is_there(tmp_path):
    store = Store(tmp_path)
    write_run(tmp_path, make_spec("some"), "some")
    alone = score(store.runs(), "made-up")
    assert "retain_drop" not in set(alone["metric"])
    write_run(tmp_path, make_spec("zero-shot", seed=3), "zero-shot", random_predictions(9))
    frame = score(store.runs(), "made-up")
    some = frame[frame["method"] == "some"].set_index("metric")
    assert {"retain_drop", "domain_probe", "accuracy:a", "accuracy_before:b", "seconds"} <= set(some.index)
    assert some.loc["mem", "n"] == 40
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == [
        "key",
        "suite",
        "task",
        "forget",
        "method",
        "seed",
        "protocol",
        "metric",
        "value",
        "n",
    ]


@pytest.mark.parametrize(
    ("letters", "shown"),
    [("", ""), ("a", "a"), ("abc", "abc"), ("abcd", "a-d"), ("acdefh", "ac-fh"), ("zA", "zA"), ("abcda'b'", "a-da'b'")],
)
def test_many_neighbouring_letters_are_a_range(letters, shown):
    assert METRICS["letters"].text(letters) == shown.replace("-", "\N{EN DASH}")
