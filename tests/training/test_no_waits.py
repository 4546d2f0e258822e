"""Neither a training step nor a test batch waits for the device; tested with tensors that pretend to be on a GPU."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.prompts import VisualPrompts
from adu_bench.core.specs import TrainingSpec
from adu_bench.registry import Catalogue, load_class
from adu_bench.runner.evaluate import Images, predict
from adu_bench.training.problem import Problem
from tests.pretend_gpu import CUDA, OnGpu, pretend_gpu

CHOICES = Catalogue().select(["all,ablation"])
LOOPS = sorted(choice.preset.name for choice in CHOICES if "epochs" in dict(choice.resolve({}, {}).fields))
OTHERS = sorted({choice.preset.name for choice in CHOICES} - set(LOOPS))
GATE = "gate.py"
"""The domain gate is fitted once, after training; L-BFGS reads its loss at every step."""
SEARCH = {"bbf": 4 * 2, "lp-plus-plus": 2, "slug": 5 * 8}
"""Waits of one iteration by method: bbf copies each candidate to the device and its loss back; lp-plus-plus logs two
terms; slug reads H, and the best step so far, for each of five layers."""


def moved(problem: Problem, batch: int) -> Problem:
    """Return the problem on the pretended GPU, with another batch size."""
    backbone = problem.backbone
    there = replace(
        backbone,
        model=copy.deepcopy(backbone.model).to(CUDA),
        mean=backbone.mean.to(CUDA),
        std=backbone.std.to(CUDA),
        device=CUDA,
    )
    columns = ("labels", "domains", "forget", "frozen")

    def batch_there(own):
        return replace(own, source=own.images.to(CUDA), **{name: getattr(own, name).to(CUDA) for name in columns})

    return replace(
        problem,
        backbone=there,
        train=batch_there(problem.train),
        training=TrainingSpec(batch, "fp32"),
        rng=torch.Generator().manual_seed(0),
    )


def epochs_of(name: str) -> int:
    """Return for how many epochs a method is trained: scrub looks back at the epochs before."""
    return 2 if name == "scrub" else 1


def trained(problem: Problem, name: str, iterations: int = 2) -> Classifier:
    choice = Catalogue().select([name])[0]
    small = {"epochs": epochs_of(name), "prompt_length": 2, "text_prompts": 2, "iterations": iterations}
    small |= {"weight_decay": 1.0, "gate_weight_decay": 1.0}  # a gate is fitted in a few steps
    spec = choice.resolve(small | {"bbf": {"population": 4, "contexts": 2, "shared": 4, "unique": 2}}, {})
    torch.manual_seed(0)
    return load_class(choice.entry.path, choice.entry.class_name, spec.source_hash)(**dict(spec.fields)).unlearn(
        problem
    )


@pytest.mark.parametrize("name", LOOPS)
def test_a_training_step_does_not_wait(name, tiny_problem):
    counts, answers = {}, {}
    for batch in (36, 18):
        with pretend_gpu() as waits:
            problem = moved(tiny_problem, batch)
            waits.clear()
            classifier = trained(problem, name)
            counts[batch] = dict(waits)
            with torch.no_grad():
                answers[batch] = classifier.logits(problem.train.images)
        assert isinstance(answers[batch], OnGpu)
        assert classifier.backbone.device == CUDA
    # With one and with two steps per epoch.
    assert counts[36] == counts[18]
    counts = {batch: {where: n for where, n in own.items() if GATE not in where} for batch, own in counts.items()}
    fetched = [where for where in counts[18] if "loop.py" in where]
    assert len(fetched) == 1
    assert counts[18][fetched[0]] == epochs_of(name), "the means of each epoch"


@pytest.mark.parametrize("name", OTHERS)
def test_waits_of_other_methods_are_bounded_for_each_iteration(name, tiny_problem):
    totals = {}
    for iterations in (2, 4):
        with pretend_gpu() as waits:
            problem = moved(tiny_problem, 12)
            waits.clear()
            classifier = trained(problem, name, iterations=iterations)
            totals[iterations] = sum(waits.values())
            with torch.no_grad():
                answers = classifier.logits(problem.train.images, problem.train.frozen)
        assert isinstance(answers, OnGpu)
    assert totals[4] - totals[2] <= 2 * SEARCH.get(name, 0)


def test_results_on_the_pretended_gpu_equal_those_on_the_cpu(tiny_problem):
    here = replace(tiny_problem, training=TrainingSpec(12, "fp32"), rng=torch.Generator().manual_seed(0))
    expected = trained(here, "adu").logits(here.train.images).detach()
    with pretend_gpu():
        there = moved(tiny_problem, 12)
        found = trained(there, "adu").logits(there.train.images).detach().cpu()
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["prompts", "zero-shot"])
def test_a_test_batch_does_not_wait(name, tiny_problem):
    counts = {}
    rng = np.random.default_rng(0)
    for batch in (24, 8):
        with pretend_gpu() as waits:
            problem = moved(tiny_problem, 12)
            classifier = problem.classifier()
            if name == "prompts":
                classifier.add("prompts", VisualPrompts(2, 2, classifier.image_width))
            images = Images(
                pixels=rng.integers(0, 256, (24, 16, 16, 3), dtype=np.uint8),
                rows=np.arange(24),
                names=np.array([str(i) for i in range(24)], object),
                domains=np.array(["a", "b", "c"] * 8, object),
                labels=np.arange(24) % 3,
                forget=np.array([False, True, False] * 8),
                frozen=rng.normal(size=(24, 24)).astype(np.float32),
            )
            classifier.eval().text_features()
            waits.clear()
            predict(classifier, images, batch)
            counts[batch] = dict(waits)
    assert counts[24] == counts[8]
    assert {what.partition(",")[0] for what in counts[8]} == {"copy to the CPU"}


def test_the_pretended_gpu_detects_waits_and_mixed_devices():
    with pretend_gpu() as waits:
        there, here = torch.ones(3).to(CUDA), torch.ones(3)
        assert there.device == CUDA
        assert (there * 2).device == CUDA
        waits.clear()
        there[there > 0].sum().item()
        bool((there > 0).any())
        torch.ones(3).to(CUDA)
        torch.ones(3).to(CUDA, non_blocking=True)
        there.cpu()
        assert sum(waits.values()) == 5
        with pytest.raises(RuntimeError, match="mixes"):
            there + here
