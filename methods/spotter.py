"""Spotter (2506.01318): answer forget images with other classes, scatter their features, and keep other answers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adu_bench.api import Batch, Card, Classifier, Losses, Problem

from ._trained import Loss, WeightsTrained, divergences, group_mean, zero_shot


@dataclass(frozen=True, kw_only=True)
class Spotter(WeightsTrained):
    """Distil zero-shot CLIP, on forget images without their class, and make their features dissimilar in each class."""

    card = Card(
        name="spotter",
        group="weights",
        title="Unlearning's Blind Spots: Over-Unlearning and Prototypical Relearning Attack",
        authors="Ha et al.",
        year=2026,
        paper="arXiv:2506.01318",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "Made for classes. Loss as in the official notebook: 0.7 times the divergence on forget images from the "
            "start's answers, in which the forgotten class has probability zero, 0.3 times a second distillation, and "
            "the dispersion of the forget images' features within each class (weight 1). Here the zero is at the "
            "image's own class. The second distillation is on perturbed forget images there, without retain images; "
            "with domains the same classes stay in retain domains, whose images are that neighbourhood, so it is on "
            "them, with the whole answer. A batch there holds one class, here all, so fewer pairs are dispersed. "
            "Trained: the image tower; SGD, lr 1e-4, momentum 0.9, weight decay 5e-4, 10 epochs as in the notebook."
        ),
    )

    # No source for CLIP.
    ranges = {"lr": (1e-5, 1e-1), "dispersion": (0.1, 10.0)}
    bounds = {"masked": ">= 0, <= 1", "dispersion": ">= 0"}

    masked: float = 0.7
    """Weight of the divergence on forget images; that on retain images has the rest of 1."""
    dispersion: float = 1.0
    """Weight of the mean cosine between forget images of one class."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the three terms."""
        teacher = zero_shot(problem)

        def terms(batch: Batch) -> Losses:
            features = model.features(batch.images)
            wanted = without_class(teacher(batch.images), batch.labels, batch.forget)
            apart = divergences(model.classify(features), wanted)
            return {
                "forget": self.masked * group_mean(apart, batch.forget),
                "retain": (1 - self.masked) * group_mean(apart, ~batch.forget),
                "dispersion": self.dispersion * mean_cosine(features, batch.labels, batch.forget),
            }

        return terms


def without_class(logits: Tensor, labels: Tensor, chosen: Tensor) -> Tensor:
    """Return logits in which the label of chosen images has probability zero.

    Parameters
    ----------
    logits
        (N, C).
    labels, chosen
        (N,), int64 and bool.
    """
    own = torch.nn.functional.one_hot(labels, logits.shape[1]).bool()
    # Infinity would make the divergence NaN; half precision holds this number, and its exponential is zero.
    return logits.masked_fill(own & chosen[:, None], -1e4)


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
