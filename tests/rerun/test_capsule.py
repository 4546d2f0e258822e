"""What a method's process leaves is read as untrusted input."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from adu_bench.clip.files import save_classifier
from adu_bench.clip.heads import UniformAnswer
from adu_bench.clip.part import Part
from adu_bench.core.errors import RunFailed
from adu_bench.rerun.capsule import Capsule
from adu_bench.rerun.exposure import unknown_parts
from adu_bench.rerun.shots import SavedShots, save_shots
from tests.conftest import make_task


@pytest.fixture
def capsule(tmp_path) -> Capsule:
    return Capsule(tmp_path)


def test_the_code_keeps_its_places(capsule, tmp_path):
    (tmp_path / "own.py").write_text("x = 1\n")
    capsule.fill({"method.py": tmp_path / "own.py", "inner/deep.py": tmp_path / "own.py"}, {"threads": 1})
    assert (capsule.method.parent / "inner" / "deep.py").read_text() == "x = 1\n"
    assert json.loads(capsule.job.read_text()) == {"threads": 1}


@pytest.mark.parametrize("kind", ["absent", "a link", "a folder", "a FIFO"])
def test_only_a_file_is_read(capsule, kind):
    {
        "absent": lambda: None,
        "a link": lambda: capsule.classifier.symlink_to("/dev/zero"),
        "a folder": capsule.classifier.mkdir,
        "a FIFO": lambda: os.mkfifo(capsule.classifier),
    }[kind]()
    with pytest.raises(RunFailed, match="ended without a classifier"):
        capsule.require_classifier()


def test_a_classifier_that_is_too_large_is_not_read(capsule):
    with capsule.classifier.open("wb") as handle:
        handle.truncate(8 * 2**30 + 1)
    with pytest.raises(RunFailed, match="more than"):
        capsule.require_classifier()


def test_answers_must_be_as_many_as_were_asked_for(capsule):
    given = np.arange(6, dtype=np.float32).reshape(3, 2)
    given.tofile(capsule.logits)
    assert (capsule.read_logits(3, 2) == given).all()
    with pytest.raises(RunFailed, match="too few or too many"):
        capsule.read_logits(3, 3)


def test_a_reason_is_one_short_line(capsule):
    assert capsule.failure(3) == "The method's process ended with status 3."
    assert "memory" in capsule.failure(-9)
    capsule.reason.write_bytes(b"ValueError: \x1b]0;x\x07\n\xff" + b"a" * 9999)
    said = capsule.failure(1)
    assert said.startswith("The method failed: ValueError: ")
    assert said.isprintable()
    assert len(said) < 400


def test_parts_that_the_project_does_not_have_are_named(capsule, tiny_backbone, monkeypatch):
    monkeypatch.setattr(Part, "kinds", dict(Part.kinds))

    class OwnPart(Part):
        pass

    model = _classifier(tiny_backbone)
    model.add("known", UniformAnswer())
    save_classifier(model, capsule.classifier)
    assert unknown_parts(capsule.classifier, make_task().classes) == []
    model.add("own", OwnPart())
    save_classifier(model, capsule.classifier)
    assert unknown_parts(capsule.classifier, make_task().classes) == ["OwnPart"]
    with pytest.raises(RunFailed, match="other classes"):
        unknown_parts(capsule.classifier, make_task().classes[::-1])


@pytest.mark.parametrize("header", [None, "[", "{}", '{"parts": 3, "classes": 4}', "[" * 100_000])
def test_a_file_that_is_not_a_classifier_is_a_failure(capsule, header):
    save_file({"a": torch.zeros(1)}, capsule.classifier, metadata={"adu_bench": header} if header else None)
    with pytest.raises(RunFailed, match="did not leave a saved classifier"):
        unknown_parts(capsule.classifier, ["a"])


def test_a_problem_is_the_same_after_it_was_saved(tmp_path, tiny_problem, tiny_backbone):
    from dataclasses import replace

    from adu_bench.core.seeds import derive
    from tests.conftest import make_spec

    spec = make_spec()
    save_shots(tiny_problem, tmp_path)
    again = SavedShots(tmp_path, tiny_backbone).problem(spec)
    fresh = torch.Generator().manual_seed(derive(spec.seed, "batches"))
    problem = replace(tiny_problem, training=spec.training, rng=fresh)
    assert again.task == spec.task
    names = ("images", "labels", "domains", "forget", "frozen")
    for one, other in zip(problem.batches(), again.batches(), strict=True):
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)
    assert all(torch.equal(getattr(problem.train, name), getattr(again.train, name)) for name in names)


def _classifier(backbone):
    from adu_bench.clip.classifier import Classifier

    return Classifier(backbone, make_task().classes, make_task().template).eval()
