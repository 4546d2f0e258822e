"""Attention maps and further features, made by the real commands from runs of the toy suite."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from adu_bench.store import Store
from adu_bench.store.artefacts import read_artefact
from tests.cli.test_commands import QUICK, finished  # noqa: F401 - a fixture
from tests.command import call
from tests.conftest import forge_run

ROOT = "runs"


def run_of(folder, label):
    return next(run for run in Store(folder / ROOT).runs() if run.label == label)


def test_attention_is_stored_once_beside_the_run(finished):  # noqa: F811
    folder, _ = finished
    run = run_of(folder, "baseline[epochs=1]")
    done = call("attention", run.key[:8], "zero-shot", "--suite", "toy", "--images", "1", cwd=folder)
    assert "[1/2] baseline[epochs=1], forget" in done.stdout
    found = read_artefact(folder / ROOT, run.key, "attention")
    assert found.tensors["before"].shape == found.tensors["after"].shape
    same = read_artefact(folder / ROOT, run_of(folder, "zero-shot").key, "attention")
    assert np.allclose(same.tensors["before"], same.tensors["after"])
    again = call("attention", run.key, "--suite", "toy", "--images", "1", cwd=folder)
    assert "already in" in again.stdout


def test_features_of_all_test_pictures_agree_with_those_of_the_run(finished):  # noqa: F811
    folder, _ = finished
    run = run_of(folder, "baseline[epochs=1]")
    call("features", run.key, "--suite", "toy", cwd=folder)
    more = read_artefact(folder / ROOT, run.key, "features")
    kept, rows = run.features()
    assert len(more.tensors["rows"]) == len(run.predictions())
    assert np.abs(more.tensors["features"][rows].astype(np.float32) - kept).max() < 2e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody"], "There is no method called 'nobody'"),
        (["adu"], "has no finished run of 'adu'"),
        (["adu", "--runs", "nowhere"], "There is no folder 'nowhere'"),
        (["adu", "--images", "0"], "--images 0 is too few"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_remedy(finished, arguments, message):  # noqa: F811
    folder, _ = finished
    done = call("attention", *arguments, "--suite", "toy", cwd=folder, status=2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 3


def test_a_classifier_that_answers_otherwise_is_no_source_of_features(finished, tmp_path):  # noqa: F811
    """The stored classifier of the domain gate stands in for one that was rebuilt wrongly."""
    folder, _ = finished
    shutil.copytree(folder / ROOT, tmp_path / ROOT)
    wrong, right = run_of(tmp_path, "baseline[epochs=1]"), run_of(tmp_path, "domain-gate")
    shutil.copy(right.path / "method.safetensors", wrong.path / "method.safetensors")
    forge_run(wrong.path)
    done = call("features", wrong.key, "--suite", "toy", "--force", cwd=tmp_path, status=2)
    assert "could not be rebuilt exactly" in done.stderr
