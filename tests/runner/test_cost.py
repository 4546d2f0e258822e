"""What runs cost before they start: passes that really happen, and measured times where there are any."""

from __future__ import annotations

import pytest

from adu_bench.leaderboard.rows import read_row, rows_dir
from adu_bench.registry import Catalogue
from adu_bench.runner.cost import CPU_SECONDS, FLOP, RATES, Cost, cost, hours, longest_first
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite
from tests.conftest import forge_run, write_run

COUNTS = {"shots": 2080, "passes": 26_208_000, "tested": 184_800, "texts": 0}


def planned(*methods, suite="toy"):
    return plan(load_suite(suite), Catalogue().select(list(methods))).runs


def test_hours_are_estimated_for_the_known_backbone_only():
    known = Cost(252, **COUNTS, measured=0, measured_hours=0.0, hours=51.2)
    assert "they need roughly 51 h on one A100-class GPU (an estimate" in str(known)
    unknown = Cost(252, **COUNTS, measured=0, measured_hours=0.0, hours=None)
    assert " GPU" not in str(unknown)
    assert str(unknown).endswith("184,800 forward passes of test images.")


def test_methods_on_frozen_features_need_no_pass_of_an_image():
    (trained, *_), (frozen, *_) = planned("baseline[epochs=2]"), planned("domain-gate")
    both = cost([trained, frozen])
    alone = cost([trained])
    assert alone.passes == 2 * 4 * 6 * 4
    assert alone.tested > 0
    assert (both.passes, both.tested) == (alone.passes, alone.tested)
    assert both.texts == 0


def test_a_search_counts_the_texts_of_each_candidate():
    (run, *_) = planned("bbf[iterations=3,population=5]")
    found = cost([run])
    assert (found.passes, found.tested, found.texts) == (0, 0, 3 * 5 * 6)
    assert "90 of class texts" in str(found)


def test_precisions_have_rates_of_their_own():
    assert hours(3600 * RATES["fp32"] / FLOP, "fp32") == pytest.approx(1)
    assert hours(1, "fp32") / hours(1, "bf16") == pytest.approx(RATES["bf16"] / RATES["fp32"])


def test_finished_runs_like_those_to_come_give_the_time(tmp_path):
    runs = planned("baseline[epochs=1]", "zero-shot")
    baseline = [run for run in runs if run.label.startswith("baseline")]
    key = write_run(tmp_path, baseline[0].spec)
    forge_run(tmp_path / key, timings={"train_s": 7000.0, "evaluate_s": 200.0})
    store = Store(tmp_path)
    todo = [run for run in runs if not store.has(run.spec.key)]
    found = cost(todo, runs, store)
    assert (found.measured, found.measured_hours) == (3, pytest.approx(6.0))
    assert "3 of them need 6.0 h in all, by the measured times of finished runs like them" in str(found)
    own = [run for run in todo if run.label.startswith("baseline")][:1]
    assert "; 1 of them needs 2.0 h in all" in str(cost(own, runs, store))
    forge_run(tmp_path / key, timings={"train_s": 10.0, "evaluate_s": 2.0})
    assert "1 of them needs less than a minute in all" in str(cost(own, runs, Store(tmp_path)))
    other = cost(planned("baseline[epochs=2]"), runs, store)
    assert other.measured == 0, "another number of epochs takes another time"


def test_many_runs_of_the_shipped_model_ask_first():
    short, long = (
        Cost(1, **COUNTS | {"passes": 10}, measured=0, measured_hours=0.0, hours=None, cpu_hours=h) for h in (0.5, 2)
    )
    assert (short.much, long.much) == (False, True)
    assert "they need roughly 2.0 h on one CPU core (an estimate" in str(long)
    assert cost(planned("baseline[epochs=2]")).cpu_hours > cost(planned("baseline[epochs=1]")).cpu_hours > 0


@pytest.mark.parametrize(("passes", "hours", "much"), [(10, None, False), (10, 30.0, True), (6_000_000, None, True)])
def test_the_user_is_asked_before_many_passes_or_hours(passes, hours, much):
    counts = COUNTS | {"passes": passes}
    assert Cost(1, **counts, measured=0, measured_hours=0.0, hours=hours).much is much


def test_the_longest_runs_come_first_after_those_of_unknown_duration(tmp_path):
    runs = planned("baseline[epochs=1]", "zero-shot", "domain-gate")
    for label, seconds in (("zero-shot", 1.0), ("baseline", 7000.0)):
        (first, *_) = [run for run in runs if run.label.startswith(label)]
        forge_run(tmp_path / write_run(tmp_path, first.spec), timings={"train_s": seconds})
    ordered = longest_first(runs, runs, Store(tmp_path))
    labels = list(dict.fromkeys(run.label.partition("[")[0] for run in ordered))
    assert labels == ["domain-gate", "baseline", "zero-shot"]
    assert sorted(run.spec.key for run in ordered) == sorted(run.spec.key for run in runs)


def test_hours_in_all_are_known_only_if_those_of_every_run_are():
    assert Cost(4, **COUNTS, measured=3, measured_hours=6.0, hours=1.5).all_hours == 7.5
    assert Cost(4, **COUNTS, measured=4, measured_hours=6.0, hours=None).all_hours == 6.0
    assert Cost(4, **COUNTS, measured=3, measured_hours=6.0, hours=None).all_hours is None


def test_the_seconds_of_a_training_image_are_those_of_the_committed_runs():
    measured = [run.measured for run in read_row(rows_dir() / "emoji" / "adu.json")]
    seconds = sum(one["seconds"] for one in measured) / sum(one["image_passes"] for one in measured)
    assert seconds == pytest.approx(CPU_SECONDS, rel=0.05)
