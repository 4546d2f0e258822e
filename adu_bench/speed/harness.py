"""Measure the harness against open_clip's own blocks, and against few-shot training as it is usually published.

Each comparison times both sides alternately in one process, and takes the ratio per round.  The reference with
open_clip's blocks runs the same model with the same batch and the same number of tokens, and does nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.loading import random_backbone
from adu_bench.clip.prompts import InstaPG, VisualPrompts
from adu_bench.clip.tower import ImageTower
from adu_bench.clip.transfer import upload_images
from adu_bench.core.errors import UserError
from adu_bench.core.progress import Progress, silent
from adu_bench.core.specs import RunSpec
from adu_bench.registry import Catalogue
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.evaluate import predict
from adu_bench.runner.task_data import TaskData, load_shared_backbone
from adu_bench.runner.unlearn import unlearn
from adu_bench.speed.made_up import made_up_problem, method
from adu_bench.speed.published import published_loop, write_photos, write_shots
from adu_bench.speed.reference import encode_with_blocks, reference_prompts
from adu_bench.speed.timing import clock_for, interleaved
from adu_bench.suites import Suite
from adu_bench.training.problem import Problem

METHODS = ("baseline", "adu")
LENGTH, DEPTH = 8, 9
"""Prompts per block and prompted blocks of `measure_tower`, as the released ADU code has them."""
Step = Callable[[], Any]
EPOCHS = 6
"""Less than half of a run on the emoji suites, so that work done once per run has at least as much weight as there."""


PHOTO = 227 / 224
"""Side of the image files of `measure_tower` over that of the tower's input, as PACS has it for 224 pixels."""


def measure(
    suite: Suite, device: str, rounds: int, workers: int = 0, backbone: str = "", report: Progress = silent
) -> dict[str, float]:
    """Return the medians of interleaved rounds.

    Parameters
    ----------
    suite
        Its first task is measured.
    device
        ``cpu`` or ``cuda``.
    rounds
        Timed calls of each side.
    workers
        Processes that load images for the published loop.
    backbone
        Name of a backbone; empty for the suite's.
    report
        Called with each step.

    Returns
    -------
    dict
        ``train_ratio.METHOD``: the reference's time over the harness's time for a short training by a method;
        ``eval_ratio``: the same for predicting the test images; ``naive_ratio``: the time of `published_loop` over that
        of the harness for ``baseline``; ``train_images_per_second.METHOD`` and ``eval_images_per_second``.
    """
    data = TaskData(suite.tasks()[0], load_shared_backbone(backbone or suite.backbone, device))
    compare = partial(interleaved, rounds=rounds, device=device)
    found: dict[str, float] = {}
    for name in METHODS:
        training = short_training(name, suite, data)
        ratio, seconds = compare(
            training.harness, training.bare, report=partial(report, f"training, {name}"), clock=clock_for(device)
        )
        found[f"train_ratio.{name}"] = ratio
        found[f"train_images_per_second.{name}"] = training.images / seconds
    harness, bare, images = _evaluation(data)
    ratio, seconds = compare(harness, bare, report=partial(report, "evaluation"), clock=clock_for(device))
    found |= {"eval_ratio": ratio, "eval_images_per_second": images / seconds}
    training = short_training("baseline", suite, data)
    with tempfile.TemporaryDirectory() as folder:
        files = write_shots(training.problem, Path(folder))
        published = published_loop(training.problem, files, EPOCHS, workers, training.length, training.depth)
        clock = clock_for(device, workers)
        ratio, _ = compare(training.harness, published, report=partial(report, "published loop"), clock=clock)
    return found | {"naive_ratio": ratio}


@dataclass(frozen=True)
class Training:
    """A short training by a method, the reference for it, the images in each, and the prompts of the method."""

    harness: Callable[[], object]
    bare: Callable[[], object]
    images: int
    problem: Problem
    length: int
    depth: int


def short_training(name: str, suite: Suite, data: TaskData) -> Training:
    """Return a training of `EPOCHS` epochs by a shipped method with visual prompts, and the reference for it."""
    choice = Catalogue().select([name])[0]
    resolved = choice.resolve({**suite.budget, "epochs": EPOCHS}, {})
    spec = RunSpec(data.task, data.backbone.spec, resolved, suite.training, 1)

    def harness() -> None:
        unlearn(choice.entry.path, choice.entry.class_name, spec, data)

    problem = data.problem(spec)
    size = min(problem.training.batch, len(problem.train))
    steps = EPOCHS * (len(problem.train) // size)
    fields = dict(resolved.fields)
    length, depth = int(fields["prompt_length"]), int(fields["prompt_depth"])  # type: ignore[arg-type]
    bare = partial(_train_bare, problem, steps, length, depth)
    return Training(harness, bare, steps * size, problem, length, depth)


def _train_bare(problem: Problem, steps: int, length: int, depth: int) -> None:
    """Run open_clip's blocks with prompts forward and backward, and nothing else.

    Text features are constant here, as in the methods: the image tower takes the time.
    """
    backbone, size = problem.backbone, min(problem.training.batch, len(problem.train))
    prompts = reference_prompts(backbone.model.visual, length, depth)
    images = backbone.normalise(problem.train.images[:size])
    labels, text = problem.train.labels[:size], problem.classifier().text_features()
    for _ in range(steps):
        features = F.normalize(encode_with_blocks(backbone.model.visual, images, prompts), dim=-1)
        F.cross_entropy(backbone.logit_scale * features @ text.T, labels).backward()


def _evaluation(data: TaskData) -> tuple[Callable[[], None], Callable[[], None], int]:
    """Return the prediction of the test images with prompts, the reference's forward passes, and the images in each."""
    classifier = Classifier(data.backbone, data.task.classes, data.task.template)
    classifier.add("prompts", VisualPrompts(8, classifier.image_depth, classifier.image_width))
    classifier.eval()
    images = data.images("test")
    size = EVALUATION_BATCH[data.backbone.device.type]
    ready = data.backbone.normalise(upload_images(images.pixels[images.rows], data.backbone.device))
    prompts = reference_prompts(data.backbone.model.visual, 8, classifier.image_depth)

    @torch.inference_mode()
    def bare() -> None:
        for start in range(0, len(ready), size):
            encode_with_blocks(data.backbone.model.visual, ready[start : start + size], prompts)

    def harness() -> None:
        predict(classifier, images, size)

    return harness, bare, len(images)


def measure_tower(
    model: str,
    batch: int,
    device: str,
    rounds: int,
    workers: int = 0,
    image_size: int | None = None,
    report: Progress = silent,
) -> dict[str, float]:
    """Measure the image tower of an open_clip model with random weights, which needs no download.

    Parameters
    ----------
    model
        Name of an open_clip model whose image tower is a standard ViT.
    batch
        Images per step.
    device, rounds, workers, report
        As in `measure`.
    image_size
        Side of the images in pixels; None for the model's.

    Returns
    -------
    dict
        ``train_ratio``, ``train_ratio.instapg`` and ``eval_ratio``: the reference's time over that of the harness for
        8 prompts in each of 9 blocks; the reference never includes InstaPG.  ``naive_ratio``: the time of
        `published_loop` on JPEG files over that of the harness, for an epoch of four batches.

    Raises
    ------
    UserError
        If open_clip does not know the model, or its image tower is another kind.
    """
    backbone, clock = _random_backbone(model, device, image_size), clock_for(device)
    side = backbone.preprocessing.size
    pairs = tower_pairs(backbone, torch.randn(batch, 3, side, side, device=device))
    harness, reference = pairs["eval_ratio"]
    pairs["eval_ratio"] = torch.inference_mode()(harness), torch.inference_mode()(reference)
    found = {
        name: interleaved(harness, reference, rounds, device, partial(report, name), clock)[0]
        for name, (harness, reference) in pairs.items()
    }
    photo = round(PHOTO * side)
    problem = made_up_problem(backbone, domains=4, classes=4, images=4 * batch, batch=batch, canvas=photo)
    with tempfile.TemporaryDirectory() as folder:
        files = write_photos(len(problem.train), photo, Path(folder))
        ours = partial(method("baseline", {"epochs": 1, "prompt_length": LENGTH, "prompt_depth": DEPTH}), problem)
        published = published_loop(problem, files, 1, workers, LENGTH, DEPTH)
        clock, told = clock_for(device, workers), partial(report, "published loop")
        found["naive_ratio"], _ = interleaved(ours, published, rounds, device, told, clock)
    return found


def tower_pairs(backbone: Backbone, images: Tensor) -> dict[str, tuple[Step, Step]]:
    """Return the steps of the harness and of open_clip's own blocks that `measure_tower` compares.

    Parameters
    ----------
    backbone
        Its image tower is a standard ViT.
    images
        Normalised, (N, 3, S, S), on the backbone's device.

    Returns
    -------
    dict
        ``train_ratio``, ``train_ratio.instapg``: forward and backward; ``eval_ratio``: forward.
    """
    visual, device = backbone.model.visual, images.device
    prompts = reference_prompts(visual, LENGTH, DEPTH)
    depth, width = len(prompts), prompts[0].shape[1]
    part = VisualPrompts(LENGTH, depth, width).to(device)
    generator = InstaPG(LENGTH, depth - 1, width, visual.transformer.resblocks[0].attn.num_heads).to(device)
    encode, reference = partial(ImageTower(visual).encode, images), partial(encode_with_blocks, visual, images, prompts)

    def trained(step: Step) -> Step:
        return lambda: step().square().sum().backward()

    return {
        "train_ratio": (trained(partial(encode, [part])), trained(reference)),
        "train_ratio.instapg": (trained(partial(encode, [part, generator])), trained(reference)),
        "eval_ratio": (partial(encode, [part]), reference),
    }


def _random_backbone(model: str, device: str, image_size: int | None) -> Backbone:
    backbone = random_backbone(model, device, image_size)
    if not ImageTower.runs(backbone.model.visual):
        raise UserError(
            f"The image tower of '{model}' cannot be measured.",
            "It is not a standard ViT that pools the class token.",
            "For example: adu-bench bench --tower ViT-B-32",
        )
    return backbone
