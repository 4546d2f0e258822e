"""Every attack tells its controls apart, on the toy suite with a real small CLIP."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

from adu_bench.audits.catalogue import find_audits
from adu_bench.audits.subject import Subject
from adu_bench.registry import Catalogue
from adu_bench.runner.task_data import load_shared_backbone
from adu_bench.store import Store
from tests.command import call

pytestmark = pytest.mark.thorough

METHOD = Path(__file__).with_name("biased.py")
TUNED = "prompt-tuning[epochs=1]"
SELECTION = ["--suite", "toy", "--limit", "1", "--methods", f"zero-shot,derange-gate,collapse,{TUNED},biased"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a function from a method and an audit to the values by metric, computed once."""
    folder = tmp_path_factory.mktemp("attacked")
    call("run", *SELECTION, "--from", str(METHOD), cwd=folder)
    runs = {run.label: run for run in Store(folder / "runs").runs()}
    backbone, catalogue = load_shared_backbone("emoji-clip", "cpu"), Catalogue([METHOD])
    subject_of = cache(lambda method: Subject(runs[method], backbone, catalogue))

    @cache
    def values(method: str, audit: str, again: int = 0) -> dict[str, float]:
        entry, subject = find_audits()[audit], subject_of(method)
        torch.manual_seed(subject.seed(audit))
        measures = entry.load().run(subject)
        for measure in measures:
            assert entry.card.metric(measure.metric)
            share = 0 if measure.metric.startswith(("recovery", "gain")) else measure.value
            assert 0 <= share <= 1
        return {measure.metric: measure.value for measure in measures}

    return values


def recoveries(values: dict[str, float]) -> list[float]:
    return [value for metric, value in values.items() if metric.startswith("recovery")]


@pytest.mark.parametrize("audit", ["answer-repair", "disguise", "rounding", "relearning"])
def test_the_untouched_model_recovers_itself_and_a_constant_answer_nothing(results, audit):
    assert recoveries(results("zero-shot", audit)) == pytest.approx(
        [1.0] * len(recoveries(results("zero-shot", audit)))
    )
    # Of equal logits, a fitted bias makes one class the answer: chance, up to the shares of the classes.
    assert max(recoveries(results("collapse", audit))) < 0.1


def test_prompt_tuning_reads_as_remembered(results):
    for audit in ("answer-repair", "disguise", "relearning"):
        assert results(TUNED, audit)["recovery"] > 0.8
    rounding = results(TUNED, "rounding")
    assert rounding["recovery_none"] > 0.8
    assert rounding["recovery_all_8"] > 0.8


def test_an_answer_that_is_wrong_on_purpose_is_put_right_by_its_rank(results):
    own = results("derange-gate", "answer-repair")
    assert own["recovery_by:rank"] > own["recovery_by:none"] + 0.3
    assert own["recovery"] > 0.8
    # The repair applies to all images: those of retain domains pay for it.
    assert own["retained"] < own["retained_by:none"] - 0.3


def test_a_bias_is_removed_with_labels_and_by_relearning(results):
    repair, relearning = results("biased", "answer-repair"), results("biased", "relearning")
    assert repair["recovery_by:none"] < 0.3
    assert repair["recovery_by:fitted shift"] > 0.8
    # The bias is the same on retain images, so comparing the domains cannot find it.
    assert repair["recovery_by:mean shift"] < 0.3
    assert relearning["accuracy:step 50"] > relearning["accuracy:step 0"] + 0.3
    assert relearning["control:step 50"] == results("zero-shot", "relearning")["accuracy:step 50"]


def test_eight_bits_change_hardly_anything(results):
    for method in ("zero-shot", "derange-gate", TUNED):
        own = results(method, "rounding")
        for group in ("forget", "retain"):
            assert own[f"{group}:all_8"] == pytest.approx(own[f"{group}:none"], abs=0.05)
            assert own[f"{group}:learned_8"] == pytest.approx(own[f"{group}:none"], abs=0.05)


def test_an_attack_changes_nothing_and_gives_the_same_twice(results):
    for audit in ("disguise", "relearning"):
        assert results("biased", audit, again=1) == results("biased", audit)


@pytest.mark.slow
def test_more_images_bring_more_back_and_noise_does_not(results):
    own = results("biased", "relearning-grid")
    assert own["recovery_8"] > own["recovery_noise"]
    assert own["recovery_retain"] > own["recovery_noise"]


@pytest.mark.slow
def test_a_new_prompt_learns_from_labels_that_are_right(results):
    own = results("zero-shot", "resurrection")
    assert own["recovery_full"] == pytest.approx(1)
    assert own["recovery_shuffled"] < 0.7
    assert max(recoveries(results("collapse", "resurrection"))) == pytest.approx(0, abs=1e-9)
