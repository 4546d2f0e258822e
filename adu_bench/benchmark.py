"""How close the harness comes to the bare backbone: the share of its speed that is left in training and evaluation.

Bare means: the same model, batch and number of tokens, forward and backward through the same blocks, and nothing else.
Both are timed in turns within one process, and the ratio of each round is taken, so that a noisy machine disturbs
both alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.prompts import VisualPrompts
from adu_bench.core.seeds import derive
from adu_bench.core.specs import RunSpec
from adu_bench.registry import Catalogue, load_class
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.evaluate import predict, to_device
from adu_bench.runner.execute import TaskData, load_shared_backbone
from adu_bench.suites import Suite
from adu_bench.training.problem import Problem

METHODS = ("baseline", "adu")
EPOCHS = 6
"""Half of a run on the emoji suites, so that what is done once a run weighs about as much as it does there."""


def measure(suite: Suite, device: str, rounds: int, report: Callable[[str], None]) -> dict[str, float]:
    """Return the medians of interleaved rounds.

    Returns
    -------
    dict
        ``train_ratio.METHOD``: bare time over the harness's time for a short training by a method; ``eval_ratio``: the
        same for predicting the test pool; ``train_images_per_second.METHOD`` and ``eval_images_per_second``.
    """
    data = TaskData(suite.tasks()[0], load_shared_backbone(suite.backbone, device))
    found: dict[str, float] = {}
    for name in METHODS:
        report(f"training, {name}")
        harness, bare, images = _training(name, suite, data)
        ratios, seconds = _rounds(harness, bare, rounds, device)
        found[f"train_ratio.{name}"] = ratios
        found[f"train_images_per_second.{name}"] = images / seconds
    report("evaluation")
    harness, bare, images = _evaluation(data)
    ratios, seconds = _rounds(harness, bare, rounds, device)
    return found | {"eval_ratio": ratios, "eval_images_per_second": images / seconds}


def _training(name: str, suite: Suite, data: TaskData) -> tuple[Callable[[], None], Callable[[], None], int]:
    """Return a short training by a method, the bare equivalent, and the images in each."""
    choice = Catalogue().select([name])[0]
    resolved = choice.resolve({**suite.budget, "epochs": EPOCHS}, {})
    method = load_class(choice.entry.path, choice.entry.class_name, resolved.source_hash)(**dict(resolved.fields))
    spec = RunSpec(data.task, data.backbone.spec, resolved, suite.training, 1)

    def problem() -> Problem:
        return data.problem(spec, record=lambda values: None, report=lambda share, text: None)

    ready = problem()
    size = min(ready.training.batch, len(ready.train))
    steps = EPOCHS * (len(ready.train) // size)
    classifier = ready.classifier()
    depth = min(getattr(method, "prompt_depth", 1), classifier.image_depth)
    classifier.add("prompts", VisualPrompts(method.prompt_length, depth, classifier.image_width))  # type: ignore[attr-defined]
    classifier.train()
    batch = ready.train.images[:size].float() / 255
    labels = ready.train.labels[:size]

    def bare() -> None:
        for _ in range(steps):
            # Text features are constant here, as they are in the method: the pass through the image tower is the bound.
            F.cross_entropy(classifier.logits(batch), labels).backward()

    def harness() -> None:
        torch.manual_seed(derive(1, "method"))
        method.unlearn(problem())

    return harness, bare, steps * size


def _evaluation(data: TaskData) -> tuple[Callable[[], None], Callable[[], None], int]:
    """Return predicting the test pool with prompts, the bare forward passes, and the images in each."""
    classifier = Classifier(data.backbone, data.task.classes, data.task.template)
    classifier.add("prompts", VisualPrompts(8, classifier.image_depth, classifier.image_width))
    classifier.eval()
    images = data.images("test")
    size = EVALUATION_BATCH[data.backbone.device.type]
    ready = data.backbone.normalise(to_device(images.pixels, images.rows, data.backbone.device))

    @torch.inference_mode()
    def bare() -> None:
        for start in range(0, len(ready), size):
            classifier.model.encode_image(ready[start : start + size])

    def harness() -> None:
        predict(classifier, images, size)

    return harness, bare, len(images)


def _rounds(harness: Callable[[], None], bare: Callable[[], None], rounds: int, device: str) -> tuple[float, float]:
    harness()  # warm up
    bare()
    ratios, seconds = [], []
    for _ in range(rounds):
        ours, theirs = _timed(harness, device), _timed(bare, device)
        ratios.append(theirs / ours)
        seconds.append(ours)
    return statistics.median(ratios), statistics.median(seconds)


def _timed(work: Callable[[], None], device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
