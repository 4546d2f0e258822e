"""The training loop that all gradient methods share: SGD or AdamW, warm-up, cosine, mixed precision, progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.memory import is_out_of_memory
from adu_bench.clip.precision import autocast, products
from adu_bench.clip.turns import together, training_step
from adu_bench.core.errors import Diverged, RunFailed
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

    Where memory runs out, the images of a batch are encoded in chunks, of which one at a time keeps its intermediate
    values (`adu_bench.clip.memory.in_chunks`).  The loss is still that of the whole batch, also where it compares
    images (MMD), so results are the same up to rounding.  From then on, the log has ``images_at_once``.

    Raises
    ------
    Diverged
        If the loss becomes NaN or infinite.
    RunFailed
        If a batch does not fit into memory, not even one image at a time, or a part computes statistics of the batch.
    """
    chosen = list(parameters) if parameters is not None else classifier.trainable()
    stepper = _optimiser(optimiser, chosen, lr, momentum, weight_decay)
    taken = _Counter()
    stepper.register_step_post_hook(taken)
    precision = problem.training.precision
    scaler = torch.amp.GradScaler(problem.device.type, enabled=precision == "fp16")

    def gradients(batch: Batch) -> Losses:
        stepper.zero_grad(set_to_none=True)
        with training_step(), autocast(problem.device, precision):
            terms = loss(batch)
        total = torch.stack([term.float() for term in terms.values()]).sum()
        together("backward", scaler.scale(total), _backward, len(batch))
        return {name: term.detach() for name, term in terms.items()}

    classifier.train()
    for epoch in range(epochs):
        rate = learning_rate(epoch, epochs, lr)
        for group in stepper.param_groups:
            group["lr"] = rate
        sums: dict[str, Tensor] = {}
        steps, before = 0, taken.count
        with products(precision):
            for batch in problem.batches(crop=crop, balanced=balanced):
                terms = _within_memory(gradients, batch, classifier)
                scaler.step(stepper)
                scaler.update()
                steps += 1
                for name, term in terms.items():
                    sums[name] = sums.get(name, 0) + term
        means = _means(sums, steps)
        _check_finite(means, epoch)
        # Only fp16 skips steps: those whose scaled gradients overflow.
        skipped = {"skipped_steps": steps - (taken.count - before)} if scaler.is_enabled() else {}
        at_once = {"images_at_once": classifier.images_at_once} if classifier.images_at_once else {}
        problem.log(epoch=epoch + 1, lr=rate, **means, **skipped, **at_once)
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


def _backward(totals: list[Tensor]) -> list[None]:
    """Compute the gradients of the losses of runs that share a forward pass, in one pass."""
    torch.autograd.backward(totals)
    return [None] * len(totals)


def _within_memory(gradients: Callable[[Batch], Losses], batch: Batch, classifier: Classifier) -> Losses:
    """Compute the gradients of a batch; where memory runs out, with ever fewer images encoded at a time.

    Raises
    ------
    RunFailed
        See `fit`; it names the largest batch that fits.
    """
    device = classifier.backbone.device
    while (terms := _tried(gradients, batch, device)) is None:
        size = min(classifier.images_at_once or len(batch), len(batch))
        if size == 1 or not _splits(classifier):
            fits = _largest(gradients, batch, device)
            raise RunFailed(
                f"A batch of {len(batch)} images does not fit into the memory of '{device}', and it cannot be "
                "computed in smaller chunks. "
                + (f"A batch of {fits} fits: set training.batch in the suite's file." if fits else "Not even one fits.")
            )
        classifier.images_at_once = (size + 1) // 2
    return terms


def _tried(gradients: Callable[[Batch], Losses], batch: Batch, device: torch.device) -> Losses | None:
    """Compute the gradients of a batch; return None if memory runs out."""
    try:
        return gradients(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # The tensors of the failed attempt can be freed only here, after the frames that held them.
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def _largest(gradients: Callable[[Batch], Losses], batch: Batch, device: torch.device) -> int:
    """Return the largest batch that fits, found by halving; 0 if a single image does not fit."""
    size = len(batch) // 2
    while size and _tried(gradients, batch.select(torch.arange(size, device=device)), device) is None:
        size //= 2
    return size


def _splits(classifier: Classifier) -> bool:
    """Return whether the features of an image depend on no other image of the batch.

    The model is in eval mode, so only parts can compute statistics of a batch.
    """
    return not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in classifier.parts.modules())


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
