"""Measure the speed of the harness against open_clip's own blocks.

The reference runs the same model with the same batch and the same number of tokens, forward and backward through
open_clip's own blocks, and does nothing else.  Both are timed alternately in one process, and ratios are computed per
round, so that noise on the machine affects both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.loading import random_model
from adu_bench.clip.part import Part
from adu_bench.clip.prompts import InstaPG, VisualPrompts
from adu_bench.clip.tower import ImageTower
from adu_bench.clip.transfer import upload_images
from adu_bench.core.errors import UserError
from adu_bench.core.progress import Count, Progress, silent
from adu_bench.core.specs import RunSpec
from adu_bench.registry import Catalogue
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.evaluate import predict
from adu_bench.runner.task_data import TaskData, load_shared_backbone
from adu_bench.runner.unlearn import unlearn
from adu_bench.suites import Suite

METHODS = ("baseline", "adu")
LENGTH, DEPTH = 8, 9
"""Prompts per block and prompted blocks of `measure_tower`, as the released ADU code has them."""
EPOCHS = 6
"""Less than half of a run on the emoji suites, so that work done once per run has at least as much weight as there."""


def measure(suite: Suite, device: str, rounds: int, report: Progress = silent) -> dict[str, float]:
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
        harness, bare, images = _training(name, suite, data)
        ratios, seconds = interleaved(harness, bare, rounds, device, partial(report, f"training, {name}"))
        found[f"train_ratio.{name}"] = ratios
        found[f"train_images_per_second.{name}"] = images / seconds
    harness, bare, images = _evaluation(data)
    ratios, seconds = interleaved(harness, bare, rounds, device, partial(report, "evaluation"))
    return found | {"eval_ratio": ratios, "eval_images_per_second": images / seconds}


def _training(name: str, suite: Suite, data: TaskData) -> tuple[Callable[[], None], Callable[[], None], int]:
    """Return a short training by a method, the reference, and the images in each."""
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
    prompts = reference_prompts(data.backbone.model.visual, length, depth)
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
    prompts = reference_prompts(data.backbone.model.visual, 8, classifier.image_depth)

    @torch.inference_mode()
    def bare() -> None:
        for start in range(0, len(ready), size):
            encode_with_blocks(data.backbone.model.visual, ready[start : start + size], prompts)

    def harness() -> None:
        predict(classifier, images, size)

    return harness, bare, len(images)


def measure_tower(model: str, batch: int, device: str, rounds: int, report: Progress = silent) -> dict[str, float]:
    """Measure the image tower of an open_clip model with random weights, which needs no download.

    Parameters
    ----------
    model
        Name of an open_clip model whose image tower is a standard ViT.
    batch
        Images per step.
    device, rounds, report
        As in `measure`.

    Returns
    -------
    dict
        ``train_ratio``, ``train_ratio.instapg`` and ``eval_ratio``: the reference's time over that of the harness for
        8 prompts in each of 9 blocks; the reference never includes InstaPG.

    Raises
    ------
    UserError
        If open_clip does not know the model, or its image tower is another kind.
    """
    visual = _visual(model).to(device)
    prompts = reference_prompts(visual, LENGTH, DEPTH)
    depth, width = len(prompts), prompts[0].shape[1]
    part = VisualPrompts(LENGTH, depth, width).to(device)
    generator = InstaPG(LENGTH, depth - 1, width, visual.transformer.resblocks[0].attn.num_heads).to(device)
    side = visual.image_size[0] if isinstance(visual.image_size, tuple) else visual.image_size
    images = torch.randn(batch, 3, side, side, device=device)
    tower = ImageTower(visual)

    def train(parts: Sequence[Part]) -> None:
        tower.encode(images, parts).square().sum().backward()

    def train_reference() -> None:
        encode_with_blocks(visual, images, prompts).square().sum().backward()

    @torch.inference_mode()
    def evaluate() -> None:
        tower.encode(images, [part])

    @torch.inference_mode()
    def evaluate_reference() -> None:
        encode_with_blocks(visual, images, prompts)

    measured: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "train_ratio": (partial(train, [part]), train_reference),
        "train_ratio.instapg": (partial(train, [part, generator]), train_reference),
        "eval_ratio": (evaluate, evaluate_reference),
    }
    return {
        name: interleaved(harness, reference, rounds, device, partial(report, name))[0]
        for name, (harness, reference) in measured.items()
    }


def _visual(model: str) -> Any:
    visual = random_model(model).visual
    if not ImageTower.runs(visual):
        raise UserError(
            f"The image tower of '{model}' cannot be measured.",
            "It is not a standard ViT that pools the class token.",
            "For example: adu-bench bench --tower ViT-B-32",
        )
    return visual


def reference_prompts(visual: Any, length: int, depth: int) -> list[nn.Parameter]:
    """Return trainable prompts (length, width) for at most ``depth`` leading blocks of an image tower."""
    blocks, weight = visual.transformer.resblocks, visual.conv1.weight
    shape = (length, weight.shape[0])
    return [nn.Parameter(torch.randn(shape, device=weight.device) * 0.02) for _ in range(min(depth, len(blocks)))]


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


def interleaved(
    harness: Callable[[], object], bare: Callable[[], object], rounds: int, device: str, report: Count
) -> tuple[float, float]:
    """Time two functions alternately, after one call of each to warm up.

    Returns
    -------
    tuple
        The median over rounds of ``bare``'s time over ``harness``'s, and the harness's median time in seconds.
    """
    harness()  # warm up
    bare()
    ratios, seconds = [], []
    for number in range(rounds):
        report(number, rounds)
        ours, theirs = _timed(harness, device), _timed(bare, device)
        ratios.append(theirs / ours)
        seconds.append(ours)
    report(rounds, rounds)
    return statistics.median(ratios), statistics.median(seconds)


def _timed(work: Callable[[], object], device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
