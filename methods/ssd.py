"""Selective synaptic dampening (Foster et al. 2024): shrink weights that matter more to forget images than to all."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adu_bench.api import Batch, Card, Classifier, Method, Preset, Problem

from ._trained import cross_entropies, gradients, plain_batches, require_forget_images, weight_patterns


@dataclass(frozen=True, kw_only=True)
class Ssd(Method):
    """Dampen weights of the image tower by their Fisher information on forget images and on all images."""

    card = Card(
        name="ssd",
        group="weights",
        title="Fast Machine Unlearning without Retraining through Selective Synaptic Dampening",
        authors="Foster et al.",
        year=2024,
        paper="arXiv:2308.07707",
        licence="own implementation, MIT; the official code is MIT",
        notes=(
            "Made for classes and samples; here the images of forget domains are the forget set. No training: one "
            "backward pass over the few-shot images. Changed: weights of the image tower, where the information on "
            "forget images is above alpha times that on all images, by the factor min(lambda all / forget, 1). Alpha "
            "10 and lambda 1 are official (for ViTs alpha is scaled by one half; a later comparison has dampening 1 "
            "and selection 3.5). Information is the mean over batches of the squared gradient of the batch's loss, "
            "as in the official code."
        ),
    )
    presets = (
        Preset(
            "lfssd",
            group="weights",
            summary="Label-free form (arXiv:2402.19308): the squared norm of the logits takes the loss's place.",
            label_free=True,
        ),
    )

    # Around the official 10 and the ViT's 3.5 and 5; with few shots a forget image is a large part of all images.
    ranges = {"alpha": (1.0, 30.0), "dampening": (0.1, 3.0)}
    bounds = {"alpha": ">= 0", "dampening": ">= 0", "images_per_batch": ">= 1"}

    alpha: float = 10.0
    """Selection: how many times the information on all images the information on forget images has to be."""
    dampening: float = 1.0
    """The factor lambda of the dampening."""
    images_per_batch: int = 8
    """Images whose gradients are averaged before they are squared; at most the suite's batch."""
    label_free: bool = False
    """Use the squared norm of the logits in place of the cross-entropy."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Compute both informations and dampen."""
        require_forget_images(problem)
        model = problem.classifier()
        weights = model.unfreeze(*weight_patterns(model, "visual"))

        def loss(batch: Batch) -> Tensor:
            logits = model.logits(batch.images)
            if self.label_free:
                return logits.square().sum(dim=1).mean()
            return cross_entropies(logits, batch.labels).mean()

        forget, every = (self._information(problem, chosen, weights, loss) for chosen in (True, None))
        selected = 0
        with torch.no_grad():
            for weight, own, overall in zip(weights, forget, every, strict=True):
                factor = dampening_factor(own, overall, self.alpha, self.dampening)
                weight *= factor
                selected = selected + (factor != 1).sum()
        problem.log(dampened=selected)
        problem.report("dampening", 1, 1)
        return model

    def _information(self, problem: Problem, forget: bool | None, weights: list, loss) -> list[Tensor]:
        size = min(self.images_per_batch, problem.training.batch)
        batches = [
            batch.select(rows)
            for batch in plain_batches(problem, forget)
            for rows in torch.arange(len(batch), device=problem.device).split(size)
        ]
        return gradients(batches, weights, loss, power=2)


def dampening_factor(forget: Tensor, every: Tensor, alpha: float, dampening: float) -> Tensor:
    """Return the factor of each weight, from its information on forget images and on all images."""
    factor = (dampening * every / forget.clamp_min(torch.finfo(forget.dtype).tiny)).clamp(max=1)
    return torch.where(forget > alpha * every, factor, 1.0)
