"""The training loop that all gradient methods share: SGD or AdamW, warm-up, cosine, mixed precision, progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from adu_bench.clip.classifier import Classifier
from adu_bench.core.errors import Diverged
from adu_bench.training.problem import Batch, Problem

Losses = dict[str, Tensor]
"""Weighted loss terms by name; their sum is minimised and each is logged."""

WARMUP_RATE = 1e-5
"""Learning rate of the first epoch in the released code (Dassl's constant warm-up)."""


def fit(
    problem: Problem,
    classifier: Classifier,
    loss: Callable[[Batch], Losses],
    *,
    epochs: int,
    lr: float,
    optimiser: Literal["sgd", "adamw"] = "sgd",
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    crop: float = 0.08,
    balanced: bool = False,
    parameters: Iterable[nn.Parameter] | None = None,
) -> Classifier:
    """Minimise the sum of ``loss(batch)`` over the problem's few-shot images and return the classifier in eval mode.

    Parameters
    ----------
    problem
        Source of batches, precision and randomness.
    classifier
        What is trained: all its trainable parameters, unless ``parameters`` names others.
    loss
        Maps an augmented batch to weighted terms; it calls the classifier.
    epochs
        Passes over the few-shot images; the first one is a warm-up at a learning rate of 1e-5 when there are more
        than one, the others follow a cosine from ``lr`` to zero (a step an epoch, as in the released code).
    lr, optimiser, momentum, weight_decay
        The optimiser; momentum is used by SGD only.
    crop, balanced
        Passed to `Problem.batches`.

    Raises
    ------
    Diverged
        If the loss becomes NaN or infinite.
    """
    chosen = list(parameters) if parameters is not None else classifier.trainable()
    stepper = _optimiser(optimiser, chosen, lr, momentum, weight_decay)
    scaler = torch.amp.GradScaler(problem.device.type, enabled=problem.training.precision == "fp16")
    classifier.train()
    for epoch in range(epochs):
        rate = learning_rate(epoch, epochs, lr)
        for group in stepper.param_groups:
            group["lr"] = rate
        sums: dict[str, Tensor] = {}
        steps = 0
        for batch in problem.batches(crop=crop, balanced=balanced):
            with _precision(problem):
                terms = loss(batch)
                total = torch.stack([term.float() for term in terms.values()]).sum()
            stepper.zero_grad(set_to_none=True)
            scaler.scale(total).backward()
            scaler.step(stepper)
            scaler.update()
            steps += 1
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach()
        means = {name: float(value) / steps for name, value in sums.items()}
        _check_finite(means, epoch)
        problem.log(epoch=epoch + 1, lr=rate, **means)
        problem.report((epoch + 1) / epochs, f"epoch {epoch + 1}/{epochs}, loss {sum(means.values()):.3f}")
    return classifier.eval()


def learning_rate(epoch: int, epochs: int, peak: float) -> float:
    """Return the learning rate of an epoch (from 0): warm-up at 1e-5 in the first, then a cosine over all epochs."""
    if epoch == 0 and epochs > 1:
        return min(WARMUP_RATE, peak)
    return peak * (1 + math.cos(math.pi * epoch / epochs)) / 2


def _optimiser(
    name: str, parameters: list[nn.Parameter], lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    if not parameters:
        raise ValueError("There is nothing to train: no part was added and nothing was unfrozen.")
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)


def _precision(problem: Problem) -> AbstractContextManager:
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    kind = kinds.get(problem.training.precision)
    return torch.autocast(problem.device.type, dtype=kind) if kind is not None else nullcontext()


def _check_finite(means: dict[str, float], epoch: int) -> None:
    broken = [name for name, value in means.items() if not math.isfinite(value)]
    if broken:
        raise Diverged(f"The loss term '{broken[0]}' became {means[broken[0]]} in epoch {epoch + 1}.")
