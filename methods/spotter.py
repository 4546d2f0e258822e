"""Spotter's dispersion (2506.01318): scatter the features of forget images of one class, and keep other answers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adu_bench.api import Batch, Card, Classifier, Losses, Problem

from ._trained import Loss, WeightsTrained, divergences, group_mean, zero_shot


@dataclass(frozen=True, kw_only=True)
class Spotter(WeightsTrained):
    """Make features of forget images of one class dissimilar, and distil zero-shot CLIP on retain images."""

    card = Card(
        name="spotter",
        group="weights",
        title="Unlearning's Blind Spots: Over-Unlearning and Prototypical Relearning Attack",
        authors="Ha et al.",
        year=2026,
        paper="arXiv:2506.01318",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "Made for classes. Its dispersion of the forget images' features within each class is taken as it is "
            "(weight 1). Its other term keeps the model near the forget region by distilling perturbed forget images "
            "with the forgotten class masked (weight 0.7), without retain images. With domains the same classes stay "
            "in retain domains, whose images are that neighbourhood, so the distillation is on them. Trained: the "
            "image tower; SGD, lr 1e-4, momentum 0.9, weight decay 5e-4, 10 epochs as in the official notebook."
        ),
    )

    # No source for CLIP.
    ranges = {"lr": (1e-5, 1e-1), "dispersion": (0.1, 10.0)}
    bounds = {"distillation": ">= 0", "dispersion": ">= 0"}

    distillation: float = 0.7
    """Weight of the divergence from zero-shot answers on retain images."""
    dispersion: float = 1.0
    """Weight of the mean cosine between forget images of one class."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return both terms."""
        teacher = zero_shot(problem)

        def terms(batch: Batch) -> Losses:
            features = model.features(batch.images)
            near = divergences(model.classify(features), teacher(batch.images))
            return {
                "retain": self.distillation * group_mean(near, ~batch.forget),
                "dispersion": self.dispersion * mean_cosine(features, batch.labels, batch.forget),
            }

        return terms


def mean_cosine(features: Tensor, labels: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean cosine over pairs of chosen images of one class; zero if there is no pair.

    Parameters
    ----------
    features
        Unit features (N, D).
    labels, chosen
        (N,), int64 and bool.
    """
    pairs = (labels[:, None] == labels) & chosen[:, None] & chosen
    pairs = pairs & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return group_mean(features @ features.T, pairs)
