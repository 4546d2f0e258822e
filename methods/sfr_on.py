"""SFR-on (Huang et al. 2024): masked fast steps, and slow steps part of the way towards them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adu_bench.api import Batch, Card, Classifier, Losses, Problem

from ._trained import Loss, Steps
from .neg_grad import NegGrad


@dataclass(frozen=True, kw_only=True)
class SfrOn(NegGrad):
    """Ascend on forget and descend on retain images for the most salient weights, with a slow outer step."""

    card = Card(
        name="sfr-on",
        group="weights",
        title="Unified Gradient-Based Machine Unlearning with Remain Geometry Enhancement",
        authors="Huang et al.",
        year=2024,
        paper="arXiv:2409.19732",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "Made for classes and samples; here the images of forget domains are the forget set. Loss and weights as "
            "neg-grad-plus, cap included. In each step, the gradient of every tensor is kept at its largest half "
            "only; every fifth step the weights go back half of the way to where they were five steps before. Share, "
            "interpolation and interval are those of an MIT-licensed re-implementation (0.5, 0.5, 5), which masks "
            "over all tensors together. The official code masks the gradient of forget images alone, by a ratio of "
            "Fisher informations taken once, and follows each forget step by up to five retain steps; here, as in "
            "that re-implementation, every step is on both and its whole gradient is masked anew. The adaptive "
            "weight of each forget image is not included, nor is weight decay, which would move masked weights. A "
            "slow step that would follow the very last fast step is not taken. Momentum of SGD goes on across slow "
            "steps."
        ),
    )
    weight_decay = 0.0

    # lr, ascent: as neg-grad-plus.  share: no source.
    ranges = {"lr": (1e-5, 1e-1), "ascent": (0.1, 3.0), "share": [0.3, 0.5, 0.7]}
    bounds = {"share": "> 0, <= 1", "slow": ">= 0, <= 1", "every": ">= 1"}

    share: float = 0.5
    """Share of each tensor's entries whose gradient is kept."""
    slow: float = 0.5
    """Part of the way that a slow step keeps; 1 keeps all of it."""
    every: int = 5
    """Fast steps between two slow steps."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Mask gradients and take the slow steps."""
        weights, steps = model.trainable(), Steps(problem)
        before = [weight.detach().clone() for weight in weights]
        both, done = super().loss(problem, model), [0]
        for weight in weights:
            weight.register_hook(lambda gradient: salient(gradient, self.share))

        def terms(batch: Batch) -> Losses:
            step = steps(batch)
            if step > done[0] and step % self.every == 0:
                done[0] = step
                with torch.no_grad():
                    for old, weight in zip(before, weights, strict=True):
                        old.lerp_(weight, self.slow)
                        weight.copy_(old)
            return both(batch)

        return terms


def salient(gradient: Tensor, share: float) -> Tensor:
    """Return a gradient whose entries outside the given share of the largest absolute values are zero."""
    flat = gradient.abs().flatten()
    chosen = flat.topk(max(1, round(share * len(flat)))).indices
    return gradient * torch.zeros_like(flat).index_fill_(0, chosen, 1.0).view_as(gradient)
