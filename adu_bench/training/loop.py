"""The training loop that all gradient methods share: SGD or AdamW, warm-up, cosine, mixed precision, progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.precision import autocast, products
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
        The classifier to train: all its trainable parameters, unless ``parameters`` gives others.
    loss
        Maps an augmented batch to weighted terms; it calls the classifier.
    epochs
        Passes over the few-shot images; `learning_rate` gives the rate of each.
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
    taken = _Counter()
    stepper.register_step_post_hook(taken)
    precision = problem.training.precision
    scaler = torch.amp.GradScaler(problem.device.type, enabled=precision == "fp16")
    classifier.train()
    for epoch in range(epochs):
        rate = learning_rate(epoch, epochs, lr)
        for group in stepper.param_groups:
            group["lr"] = rate
        sums: dict[str, Tensor] = {}
        steps, before = 0, taken.count
        with products(precision):
            for batch in problem.batches(crop=crop, balanced=balanced):
                with autocast(problem.device, precision):
                    terms = loss(batch)
                total = torch.stack([term.float() for term in terms.values()]).sum()
                stepper.zero_grad(set_to_none=True)
                scaler.scale(total).backward()
                scaler.step(stepper)
                scaler.update()
                steps += 1
                for name, term in terms.items():
                    sums[name] = sums.get(name, 0) + term.detach()
        means = _means(sums, steps)
        _check_finite(means, epoch)
        # Only fp16 skips steps: those whose scaled gradients overflow.
        skipped = {"skipped_steps": steps - (taken.count - before)} if scaler.is_enabled() else {}
        problem.log(epoch=epoch + 1, lr=rate, **means, **skipped)
        problem.report("training", epoch + 1, epochs, f"loss {sum(means.values()):.3f}")
    return classifier.eval()


def learning_rate(epoch: int, epochs: int, peak: float) -> float:
    """Return the learning rate of an epoch: Dassl's constant warm-up for one epoch, then a cosine from the peak.

    Parameters
    ----------
    epoch, epochs
        The epoch, counted from 0, and the number of epochs.  A single epoch has no warm-up.
    peak
        The optimiser's learning rate.

    Returns
    -------
    float
        1e-5 (or the peak, if that is lower) in epoch 0, then ``peak (1 + cos(pi (epoch - 1) / epochs)) / 2``: Dassl
        counts the cosine from the end of the warm-up, over all epochs, so that it does not reach zero.
    """
    if epochs == 1:
        return peak
    if epoch == 0:
        return min(WARMUP_RATE, peak)
    return peak * (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2


class _Counter:
    """Counts the steps that an optimiser took."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, *_: Any) -> None:
        self.count += 1


def _means(sums: dict[str, Tensor], steps: int) -> dict[str, float]:
    """Copy the epoch's means from the device, all at once."""
    values = torch.stack([value.float() for value in sums.values()]).tolist()
    return {name: value / steps for name, value in zip(sums, values, strict=True)}


def _optimiser(
    name: str, parameters: list[nn.Parameter], lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    if not parameters:
        raise ValueError("There is nothing to train: no part was added and nothing was unfrozen.")
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, foreach=True)
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, foreach=True)


def _check_finite(means: dict[str, float], epoch: int) -> None:
    broken = [name for name, value in means.items() if not math.isfinite(value)]
    if broken:
        raise Diverged(f"The loss term '{broken[0]}' became {means[broken[0]]} in epoch {epoch + 1}.")
