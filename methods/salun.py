"""SalUn (Fan et al. 2024): random labels on forget domains, for the most salient weights only."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adu_bench.api import Batch, Card, Classifier, Losses, Problem

from ._trained import Loss, cross_entropies, gradients, plain_batches, require_forget_images
from .random_label import RandomLabel


@dataclass(frozen=True, kw_only=True)
class SalUn(RandomLabel):
    """Train with random labels only the weights with the largest gradients of the forget images' loss."""

    card = Card(
        name="salun",
        group="weights",
        title="SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency",
        authors="Fan et al.",
        year=2024,
        paper="arXiv:2310.12508",
        licence="own implementation, MIT; the official code is MIT",
        notes=(
            "As random-label, but only the half of the weights with the largest gradient of the forget images' "
            "cross-entropy changes (the official mask with_0.5). Weight decay counts for these only: the others stay "
            "bit for bit, which the official code ensures since a correction. The official code draws labels from "
            "all classes, the true one included, for every batch or epoch; here from the others, for every batch. On "
            "CIFAR-10 it trains on forget and retain images in turn, here on both in each step."
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
