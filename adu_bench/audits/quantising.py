"""Round the weights of a classifier to few bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from adu_bench.clip.classifier import Classifier


def rounded(weight: Tensor, bits: int) -> Tensor:
    """Round a weight to signed integers, symmetric around zero, with a scale for each output channel.

    Parameters
    ----------
    weight
        Floating, any shape.  A channel is a row of a matrix (or of a stack of matrices or prompts), a filter of a
        convolution, or a whole vector.
    bits
        At least 2; values become -(2^(bits-1) - 1) to 2^(bits-1) - 1, times the scale.

    Returns
    -------
    Tensor
        Same shape and dtype.
    """
    levels = 2 ** (bits - 1) - 1
    if weight.dim() == 0:
        return weight.clone()
    within = (1, 2, 3) if weight.dim() == 4 else (-1,)
    largest = weight.abs().amax(dim=within, keepdim=True)
    scale = torch.where(largest > 0, largest / levels, torch.ones_like(largest))
    return (weight / scale).round() * scale


@contextmanager
def rounding(classifier: Classifier, weights: Iterable[Tensor], bits: int) -> Iterator[None]:
    """Round floating weights of a classifier inside a ``with`` block; ``bits`` as in `rounded`."""
    chosen = [weight for weight in weights if weight.is_floating_point()]
    before = [weight.detach().clone() for weight in chosen]
    try:
        _write(classifier, chosen, [rounded(weight, bits) for weight in before])
        yield
    finally:
        _write(classifier, chosen, before)


@torch.no_grad()
def _write(classifier: Classifier, weights: list[Tensor], values: list[Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)
    # Discards the text features of the old weights.
    classifier.eval()


def learned_weights(classifier: Classifier) -> list[Tensor]:
    """Return what a method added or changed: the parts' parameters and buffers, and the unfrozen weights."""
    own = dict(classifier.model.named_parameters())
    return [*classifier.parts.parameters(), *classifier.parts.buffers(), *(own[name] for name in classifier.changed)]


def all_weights(classifier: Classifier) -> list[Tensor]:
    """Return the learned weights and those of both towers, which the classifier shares with its backbone."""
    every = [*learned_weights(classifier), *classifier.model.parameters(), *classifier.backbone.model.parameters()]
    return list({id(weight): weight for weight in every}.values())
