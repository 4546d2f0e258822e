"""Random labels on forget domains (Graves et al. 2021)."""

from dataclasses import dataclass

import torch

from adu_bench.api import Batch, Card, Classifier, Losses, Problem

from ._trained import Loss, WeightsTrained, cross_entropies, group_mean


@dataclass(frozen=True, kw_only=True)
class RandomLabel(WeightsTrained):
    """Fine-tune the image tower on right labels for retain images and random other labels for forget images."""

    card = Card(
        name="random-label",
        group="weights",
        title="Amnesiac Machine Learning (random labels)",
        authors="Graves et al.",
        year=2021,
        paper="arXiv:2010.10981",
        licence="own implementation, MIT; the code of Unlearn-Saliency, which has it as a baseline, is MIT",
        notes=(
            "Made for classes and samples; here the images of forget domains get labels drawn anew for every batch "
            "from the other classes. Trained: the image tower, with the zero-shot texts as class weights; SGD, "
            "momentum 0.9, weight decay 5e-4, 10 epochs, lr 0.013 (Unlearn-Saliency on CIFAR-10 with a ResNet, batch "
            "256), which draws from all classes, the true one included. Answers are pushed towards every wrong class "
            "alike, so an answer can end below chance."
        ),
    )

    # No source for CLIP: a factor of ten around the published 0.013, and lower, since it is for a ResNet.
    ranges = {"lr": (1e-4, 1e-1)}

    lr: float = 1.3e-2
    """Peak learning rate of SGD."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the cross-entropies of both groups."""

        def terms(batch: Batch) -> Losses:
            shift = torch.randint(1, max(2, len(problem.classes)), batch.labels.shape, device=batch.labels.device)
            wrong = (batch.labels + shift) % len(problem.classes)
            values = cross_entropies(model.logits(batch.images), torch.where(batch.forget, wrong, batch.labels))
            return {"retain": group_mean(values, ~batch.forget), "forget": group_mean(values, batch.forget)}

        return terms
