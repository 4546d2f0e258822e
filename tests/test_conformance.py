"""Every shipped method passes the conformance checks, and every check detects a method that violates it."""

from __future__ import annotations

import sys

import pytest
import torch

from adu_bench.conformance import CHECKS, Subject, explained, run_checks, uses_its_problem_alone
from adu_bench.core.checks import CheckFailed
from adu_bench.core.seeds import derive
from adu_bench.registry import Catalogue
from adu_bench.training.problem import Problem

NAMES = sorted(Catalogue().presets)


@pytest.fixture(scope="module")
def subjects():
    catalogue = Catalogue()
    return {name: Subject(catalogue.select([name])[0], "cpu") for name in NAMES}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_conformance(name, check, subjects):
    check(subjects[name])


BAD = '''"""A method that violates a check."""
from dataclasses import dataclass
import torch
from adu_bench.api import Card, Method, Part, Problem, UniformAnswer, VisualPrompts

{part}

@dataclass(frozen=True, kw_only=True)
class Bad(Method):
    """Violate a check."""

    card = Card(name="bad-{number}", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")

    def unlearn(self, problem: Problem):
        model = problem.classifier()
        {body}
        return model
'''

PART = """
class {name}(Part):
    def score(self, logits, features, text):
        {body}
"""

VIOLATIONS = [
    ("returns_finite_logits", "return None", ""),
    ("returns_finite_logits", 'model.add("nan", BadNan())',
     PART.format(name="BadNan", body="return logits * float('nan')")),
    ("leaves_the_backbone_alone", "problem.backbone.model.logit_scale.data.add_(0.1)", ""),
    (
        "repeats_with_the_same_seed",
        'torch.seed(); model.add("prompts", VisualPrompts(2, 1, model.image_width)).tokens.data.mul_(50)',
        "",
    ),
    ("survives_saving", 'model.add("x", BadState()); model.parts["x"].factor = 0.1',
     PART.format(name="BadState", body="return logits * getattr(self, 'factor', 1.0)")),
    ("judges_images_one_by_one", 'model.add("mean", BadMean())',
     PART.format(name="BadMean", body="return logits - logits.mean(dim=0)")),
    ("takes_any_forget_set", "assert len(problem.forget) == 1", ""),
    ("takes_any_forget_set", "assert problem.train.forget.sum() <= len(problem.train) // 2", ""),
    ("works_without_forget_images_or_refuses", "problem.train.labels[problem.train.forget][0]", ""),
    ("takes_other_classes_or_refuses", 'model.add("fixed", BadFixed())',
     PART.format(name="BadFixed", body="return logits[:, :3]")),
    ("parts_come_off", "model.template = '{}'; model.set_classes(problem.classes)", ""),
]  # fmt: skip


@pytest.mark.parametrize(("check", "body", "part"), VIOLATIONS, ids=[f"{i}-{v[0]}" for i, v in enumerate(VIOLATIONS)])
def test_a_violation_is_detected(check, body, part, tmp_path):
    number = derive(0, check, body)
    (tmp_path / "bad.py").write_text(BAD.format(body=body, part=part, number=number))
    results = dict(run_checks(Catalogue([tmp_path]).select([f"bad-{number}"])[0]))
    assert results[check], f"nothing was detected: {results}"


def test_a_method_may_refuse_to_work_without_forget_images(tmp_path):
    body = "\n        if not problem.train.forget.any():\n            raise RunFailed('There is no image to forget.')"
    text = BAD.format(body=body, part="", number="refusing").replace("Problem,", "Problem, RunFailed,")
    (tmp_path / "bad.py").write_text(text)
    results = dict(run_checks(Catalogue([tmp_path]).select(["bad-refusing"])[0]))
    assert set(results.values()) == {""}


def test_frequent_mistakes_have_their_remedy():
    def reason(mistake):
        try:
            mistake()
        except (AttributeError, ImportError, SystemExit) as error:
            return explained(error)
        raise AssertionError("nothing was raised")

    assert "return fit(" in reason(lambda: None.eval())
    assert "adu_bench.api.Part" in reason(lambda: torch.nn.Linear(1, 1).attach(None))
    assert "from .helper_of_mine import" in reason(lambda: __import__("helper_of_mine"))
    assert "raise RunFailed" in reason(lambda: sys.exit(3))
    assert "neither validation nor test images" in reason(lambda: object.__new__(Problem).test)
    assert explained(KeyError("x")) == ""


def test_reading_data_by_oneself_is_named(tmp_path):
    text = BAD.format(body="pass", part="from adu_bench.suites import load_suite", number="reading")
    (tmp_path / "bad.py").write_text(text)
    (choice,) = Catalogue([tmp_path]).select(["bad-reading"])
    with pytest.raises(CheckFailed, match=r"Line 6 imports adu_bench\.suites\. A method imports adu_bench.api alone"):
        uses_its_problem_alone(Subject(choice, "cpu"))
