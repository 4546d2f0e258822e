"""Every attack tells its controls apart: the real command on the toy suite, with a real small CLIP."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.test_commands import call

METHODS = "zero-shot,derange-gate,collapse,prompt-tuning[epochs=1],biased"
CORE = ("answer-repair", "disguise", "rounding", "relearning")
FULL = ("relearning-grid", "resurrection")
BASE = ["--suite", "toy", "--limit", "1", "--from", str(Path(__file__).with_name("biased.py"))]
ALL = [*BASE, "--methods", METHODS]


def rows(folder: Path, *arguments: str) -> pd.Series:
    found = pd.DataFrame(json.loads(call("audit", *arguments, "--json", cwd=folder).stdout))
    return found.set_index(["method", "audit", "metric"])["value"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("attacked")
    call("run", *ALL, cwd=place)
    return place


@pytest.fixture(scope="module")
def found(folder):
    return rows(folder, *ALL, "--audits", ",".join(CORE))


@pytest.fixture(scope="module")
def full(folder):
    return rows(folder, *BASE, "--methods", "collapse,biased", "--audits", ",".join(FULL))


def recoveries(found: pd.Series, method: str) -> pd.Series:
    own = found[method]
    return own[own.index.get_level_values("metric").str.startswith("recovery")]


def test_the_untouched_model_recovers_itself(found):
    assert recoveries(found, "zero-shot").to_numpy() == pytest.approx(1)


def test_prompt_tuning_reads_as_remembered(found):
    own = found["prompt-tuning[epochs=1]"]
    for audit in ("answer-repair", "disguise", "relearning"):
        assert own[audit, "recovery"] > 0.8
    assert own["rounding", "recovery_none"] > 0.8
    assert own["rounding", "recovery_all_8"] > 0.8


def test_nothing_is_recovered_from_a_constant_answer(found, full):
    assert recoveries(found, "collapse").to_numpy() == pytest.approx(0, abs=0.1)
    assert recoveries(full, "collapse").to_numpy() == pytest.approx(0, abs=1e-9)
    assert found["collapse", "answer-repair", "information"] == pytest.approx(0, abs=1e-6)


def test_an_answer_that_is_wrong_on_purpose_is_put_right_by_its_rank(found):
    own = found["derange-gate", "answer-repair"]
    assert own["recovery_by:rank"] > own["recovery_by:none"] + 0.3
    assert own["recovery"] > 0.8
    # The repair applies to all images: those of retain domains pay for it.
    assert own["retained"] < own["retained_by:none"] - 0.3


def test_a_bias_is_removed_with_labels_and_by_relearning(found):
    own = found["biased"]
    assert own["answer-repair", "recovery_by:none"] == pytest.approx(0, abs=0.05)
    assert own["answer-repair", "recovery_by:fitted shift"] > 0.8
    # The bias is the same on retain images, so comparing the domains cannot find it.
    assert own["answer-repair", "recovery_by:mean shift"] < 0.3
    assert own["relearning", "accuracy:step 50"] > own["relearning", "accuracy:step 0"] + 0.3
    assert own["disguise", "recovery"] < 0.3


def test_the_control_is_measured_after_the_same_attack(found):
    for method in ("collapse", "biased"):
        for metric in ("control:step 0", "control:step 50"):
            assert found[method, "relearning", metric] == found["zero-shot", "relearning", metric]
    accuracy = found["zero-shot", "relearning"]
    assert accuracy["accuracy:step 50"] >= accuracy["accuracy:step 0"] - 0.05


def test_eight_bits_change_hardly_anything(found):
    for method in ("zero-shot", "derange-gate", "prompt-tuning[epochs=1]", "biased"):
        own = found[method, "rounding"]
        for group in ("forget", "retain"):
            assert own[f"{group}:all_8"] == pytest.approx(own[f"{group}:none"], abs=0.05)
            assert own[f"{group}:learned_8"] == pytest.approx(own[f"{group}:none"], abs=0.05)


def test_labels_and_images_of_the_classes_are_what_brings_a_class_back(full):
    own = full["biased"]
    assert own["relearning-grid", "recovery_8"] > own["relearning-grid", "recovery_noise"] + 0.2
    assert own["relearning-grid", "recovery_retain"] > own["relearning-grid", "recovery_noise"] + 0.2
    assert own["resurrection", "recovery_full"] > own["resurrection", "recovery_shuffled"] - 0.05


def test_an_attack_gives_the_same_twice(folder, found):
    again = rows(folder, *BASE, "--methods", "biased", "--audits", "relearning,disguise", "--force")
    for audit in ("relearning", "disguise"):
        before, after = found["biased", audit], again["biased", audit]
        assert list(after.index) == list(before.index)
        assert after.to_numpy() == pytest.approx(before.to_numpy(), abs=1e-9)
