"""Random labels on forget domains, with and without a saliency mask (SalUn, Fan et al. 2024)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adu_bench.api import Batch, Card, Classifier, Losses, Problem

from ._trained import (
    Loss,
    WeightsTrained,
    cross_entropies,
    gradients,
    group_mean,
    plain_batches,
    require_forget_images,
)


@dataclass(frozen=True, kw_only=True)
class RandomLabel(WeightsTrained):
    """Fine-tune the image tower on right labels for retain images and random other labels for forget images."""

    card = Card(
        name="random-label",
        group="other",
        title="Amnesiac Machine Learning (random labels)",
        authors="Graves et al.",
        year=2021,
        paper="arXiv:2010.10981",
        licence="own implementation, MIT; the code of Unlearn-Saliency, which has it as a baseline, is MIT",
        notes=(
            "Made for classes and samples; here the images of forget domains get labels drawn anew for every batch "
            "from the other classes. Trained: the image tower, with the zero-shot texts as class weights; SGD, "
            "momentum 0.9, weight decay 5e-4, 10 epochs, lr 0.013 (Unlearn-Saliency on CIFAR-10 with a ResNet, batch "
            "256). Answers are pushed towards every wrong class alike, so an answer can end below chance."
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


@dataclass(frozen=True, kw_only=True)
class SalUn(RandomLabel):
    """Train with random labels only the weights with the largest gradients of the forget images' loss."""

    card = Card(
        name="salun",
        group="other",
        title="SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency",
        authors="Fan et al.",
        year=2024,
        paper="arXiv:2310.12508",
        licence="own implementation, MIT; the official code is MIT",
        notes=(
            "As random-label, but only the half of the weights with the largest gradient of the forget images' "
            "cross-entropy changes (the official mask with_0.5). Weight decay counts for these only: the others stay "
            "bit for bit, which the official code ensures since a correction. The official code draws random labels "
            "once; here they are drawn for every batch."
        ),
    )
    weight_decay = 0.0

    # lr: as random-label.  share: the official masks have 0.1 to 1.0.
    ranges = {"lr": (1e-4, 1e-1), "share": [0.1, 0.3, 0.5, 0.7, 0.9]}
    bounds = {"share": "> 0, <= 1", "decay": ">= 0"}

    share: float = 0.5
    """Share of the weights that may change."""
    decay: float = 5e-4
    """Weight decay of the weights that may change."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Mask the gradients, and add weight decay as a loss, whose gradient is masked as well."""
        require_forget_images(problem)
        weights = model.trainable()

        def forget_loss(batch: Batch) -> Tensor:
            return cross_entropies(model.logits(batch.images), batch.labels).mean()

        saliency = [value.abs() for value in gradients(plain_batches(problem, True), weights, forget_loss)]
        for weight, mask in zip(weights, masks(saliency, self.share), strict=True):
            weight.register_hook(lambda gradient, mask=mask: gradient * mask)
        labelled = super().loss(problem, model)

        def terms(batch: Batch) -> Losses:
            squares = torch.stack([weight.float().square().sum() for weight in weights]).sum()
            return {**labelled(batch), "decay": self.decay / 2 * squares}

        return terms


def masks(saliency: list[Tensor], share: float) -> list[Tensor]:
    """Return masks (1 or 0) of the given share of the largest values, over all tensors together."""
    whole = torch.cat([value.flatten() for value in saliency])
    chosen = whole.topk(max(1, round(share * len(whole)))).indices
    mask = torch.zeros_like(whole).index_fill_(0, chosen, 1.0)
    parts = mask.split([value.numel() for value in saliency])
    return [part.view_as(value) for part, value in zip(parts, saliency, strict=True)]
