"""Anchored unlearning: forget by a margin that a uniform answer meets, keep by holding on to zero-shot CLIP."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from adu_bench.api import Batch, Card, Classifier, DomainHead, Losses, Problem, domain_ce

from ._trained import Loss, WeightsTrained, cross_entropies, divergences, group_mean


@dataclass(frozen=True, kw_only=True)
class Anchored(WeightsTrained):
    """Fine-tune the image tower to be no better than chance on forget images, and to stay zero-shot CLIP elsewhere."""

    card = Card(
        name="anchored",
        group="weights",
        title="Anchored unlearning: a margin for forget images, zero-shot features for retain images",
        authors="adu-bench",
        year=2026,
        paper="none",
        licence="MIT",
        notes=(
            "A method of this project. Trained: the image tower (AdamW), with the zero-shot texts as class weights. "
            "Forget images: softplus of the true class's logit over the log-sum-exp of the others, moved so that the "
            "uniform answer lies where the loss bends; unlike a raised cross-entropy it is bounded below, and unlike "
            "a uniform target it does not ask for one particular answer. Retain images: features and answers of "
            "zero-shot CLIP for the same view of the image, and a small cross-entropy. All images: the cross-entropy "
            "of a linear domain classifier on the features, as in ADU, without its MMD. The terms and the defaults "
            "were chosen on validation images of emoji-mini, in about 35 settings on one tuning seed, before the "
            "search that all methods have; so on the emoji suites it had more tuning than the others."
        ),
    )

    ranges = {"lr": (1e-4, 3e-3), "margin": (0.3, 10.0), "anchor": (1.0, 30.0)}
    bounds = {"margin": ">= 0", "anchor": ">= 0", "match": ">= 0", "keep": ">= 0", "gamma": ">= 0"}
    optimiser: ClassVar[Literal["sgd", "adamw"]] = "adamw"
    weight_decay: ClassVar[float] = 0.01

    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    margin: float = 3.0
    """Weight of the margin loss of forget images."""
    anchor: float = 10.0
    """Weight of the cosine distance between the features of retain images and those of zero-shot CLIP."""
    match: float = 1.0
    """Weight of the divergence of the answers to retain images from those of zero-shot CLIP."""
    keep: float = 0.25
    """Weight of the cross-entropy of retain images."""
    gamma: float = 3.0
    """Weight of the domain classifier's cross-entropy."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the five terms."""
        head = model.add("domain_head", DomainHead(model.feature_width, len(problem.domains)))
        teacher = problem.classifier().eval()
        text = teacher.text_features()

        def terms(batch: Batch) -> Losses:
            features = model.features(batch.images)
            logits = model.classify(features)
            with torch.no_grad():
                frozen = problem.backbone.image_features(batch.images)
                known = teacher.classify(frozen, text=text)
            apart = 1 - F.cosine_similarity(features.float(), frozen.float(), dim=-1)
            return {
                "margin": self.margin * group_mean(above_chance(logits, batch.labels), batch.forget),
                "anchor": self.anchor * group_mean(apart, ~batch.forget),
                "match": self.match * group_mean(divergences(logits, known), ~batch.forget),
                "keep": self.keep * group_mean(cross_entropies(logits, batch.labels), ~batch.forget),
                "domains": self.gamma * domain_ce(head(features), batch.domains),
            }

        return terms


def above_chance(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the softplus of how far the true class's logit is above what a uniform answer has, for each image (N,).

    Parameters
    ----------
    logits
        (N, C).
    labels
        (N,), int64.
    """
    values = logits.float()
    true = values.gather(1, labels[:, None])[:, 0]
    others = values.scatter(1, labels[:, None], -torch.inf).logsumexp(dim=1)
    return F.softplus(true - others + math.log(values.shape[1] - 1))
