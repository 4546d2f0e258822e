"""Measure the speed of the harness against open_clip's own blocks.

The reference runs the same model with the same batch and the same number of tokens, forward and backward through
open_clip's own blocks, and does nothing else.  Both are timed alternately in one process, and ratios are computed per
round, so that noise on the machine affects both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.prompts import VisualPrompts
from adu_bench.clip.transfer import upload_images
from adu_bench.core.specs import RunSpec
from adu_bench.registry import Catalogue
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.evaluate import predict
from adu_bench.runner.task_data import TaskData, load_shared_backbone
from adu_bench.runner.unlearn import unlearn
from adu_bench.suites import Suite

METHODS = ("baseline", "adu")
EPOCHS = 6
"""Less than half of a run on the emoji suites, so that work done once per run has at least as much weight as there."""


def measure(suite: Suite, device: str, rounds: int, report: Callable[[str], None]) -> dict[str, float]:
    """Return the medians of interleaved rounds.

    Returns
    -------
    dict
        ``train_ratio.METHOD``: the reference's time over the harness's time for a short training by a method;
        ``eval_ratio``: the same for predicting the test images; ``train_images_per_second.METHOD`` and
        ``eval_images_per_second``.
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
    """Return a short training by a method, the reference, and the images in each."""
    choice = Catalogue().select([name])[0]
    resolved = choice.resolve({**suite.budget, "epochs": EPOCHS}, {})
    spec = RunSpec(data.task, data.backbone.spec, resolved, suite.training, 1)

    def harness() -> None:
        unlearn(choice.entry.path, choice.entry.class_name, spec, data)

    problem = data.problem(spec, record=lambda values: None, report=lambda share, text: None)
    size = min(problem.training.batch, len(problem.train))
    steps = EPOCHS * (len(problem.train) // size)
    fields = dict(resolved.fields)
    prompts = reference_prompts(data, int(fields["prompt_length"]), int(fields["prompt_depth"]))  # type: ignore[arg-type]
    images = data.backbone.normalise(problem.train.images[:size])
    labels, text = problem.train.labels[:size], problem.classifier().text_features()

    def bare() -> None:
        for _ in range(steps):
            # Text features are constant here, as in the method: the image tower takes the time.
            features = F.normalize(encode_with_blocks(data.backbone.model.visual, images, prompts), dim=-1)
            F.cross_entropy(data.backbone.logit_scale * features @ text.T, labels).backward()

    return harness, bare, steps * size


def _evaluation(data: TaskData) -> tuple[Callable[[], None], Callable[[], None], int]:
    """Return the prediction of the test images with prompts, the reference's forward passes, and the images in each."""
    classifier = Classifier(data.backbone, data.task.classes, data.task.template)
    classifier.add("prompts", VisualPrompts(8, classifier.image_depth, classifier.image_width))
    classifier.eval()
    images = data.images("test")
    size = EVALUATION_BATCH[data.backbone.device.type]
    ready = data.backbone.normalise(upload_images(images.pixels[images.rows], data.backbone.device))
    prompts = reference_prompts(data, 8, classifier.image_depth)

    @torch.inference_mode()
    def bare() -> None:
        for start in range(0, len(ready), size):
            encode_with_blocks(data.backbone.model.visual, ready[start : start + size], prompts)

    def harness() -> None:
        predict(classifier, images, size)

    return harness, bare, len(images)


def reference_prompts(data: TaskData, length: int, depth: int) -> list[nn.Parameter]:
    """Return trainable prompts (length, width) for the first blocks of the image tower."""
    blocks = data.backbone.model.visual.transformer.resblocks
    width = data.backbone.model.visual.conv1.out_channels
    device = data.backbone.device
    return [nn.Parameter(torch.randn(length, width, device=device) * 0.02) for _ in range(min(depth, len(blocks)))]


def encode_with_blocks(visual: nn.Module, images: Tensor, prompts: list[nn.Parameter]) -> Tensor:
    """Encode normalised images (N, 3, S, S) by open_clip's own blocks: (N, D).

    Parameters
    ----------
    visual
        open_clip's vision transformer with a class token.
    images
        See above.
    prompts
        Prompts (P, width) of the first blocks; each block's prompts come after the patches and replace earlier ones.
    """

    def appended(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        own = places[module]
        tokens = inputs[0][:, :patches]
        return (torch.cat([tokens, prompts[own].expand(len(tokens), -1, -1)], dim=1), *inputs[1:])

    modules = [visual.ln_pre, *visual.transformer.resblocks[1:]][: len(prompts)]  # type: ignore[union-attr, index]
    places = {module: number for number, module in enumerate(modules)}
    patches = visual.positional_embedding.shape[0]  # type: ignore[union-attr, index]
    handles = [module.register_forward_pre_hook(appended) for module in modules]
    try:
        return visual(images)
    finally:
        for handle in handles:
            handle.remove()


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
