"""CUTI-Domain (Wang et al. 2023): the model must fail on the target, and on the target in the source's style."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adu_bench.api import Batch, Card, Classifier, Losses, Problem

from ._trained import Loss, Steps, WeightsTrained, cross_entropies, group_mean


@dataclass(frozen=True, kw_only=True)
class CutiDomain(WeightsTrained):
    """Raise, up to a bound, the error on forget images and on forget images in the style of retain images."""

    card = Card(
        name="cuti-domain",
        group="authorisation",
        title="Model Barrier: A Compact Un-Transferable Isolation Domain for Model Intellectual Property Protection",
        authors="Wang et al.",
        year=2023,
        paper="arXiv:2303.11078",
        licence="own implementation, MIT; the official code was not consulted, NTLBench's port has no licence",
        notes=(
            "Retain domains are the source, forget domains the target. Loss: CE(source) - min(1, 0.1 CE(x)), where x "
            "is in turn the target and the isolation domain: the target's content in the source's style. Trained: "
            "the image tower (a whole network there). The original mixes style after every stage of the network, by "
            "statistics of each channel that pass through a random convolution; here it is done on pixels, by the "
            "mean and spread of each colour channel, which is a choice of this version. Adam, lr times 0.999 per "
            "step there; here the project's cosine. The bound is met at a cross-entropy of ten, there at ten times "
            "the number of classes."
        ),
    )
    optimiser = "adamw"
    weight_decay = 0.0

    # lr: around NTL's 1e-4.  alpha: around the official 0.1, and higher.
    ranges = {"lr": (1e-5, 1e-2), "alpha": (0.03, 1.0)}
    bounds = {"alpha": ">= 0"}

    epochs: int = 20
    """Passes over the few-shot images."""
    alpha: float = 0.1
    """Weight of the error inside its bound."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the cross-entropy of retain images and the bounded one."""
        steps = Steps(problem)

        def terms(batch: Batch) -> Losses:
            images = restyled(batch.images, batch.forget) if steps(batch) % 2 else batch.images
            values = cross_entropies(model.logits(images), batch.labels)
            target = group_mean(values, batch.forget)
            return {"retain": group_mean(values, ~batch.forget), "bounded": -(self.alpha * target).clamp(max=1)}

        return terms


def restyled(images: Tensor, chosen: Tensor) -> Tensor:
    """Give each chosen image the channel means and spreads of a random image that is not chosen.

    Parameters
    ----------
    images
        (N, 3, S, S), floating in 0..1.
    chosen
        (N,), bool; where all or none are chosen, the images come back as they are.

    Returns
    -------
    Tensor
        (N, 3, S, S), in 0..1.
    """
    mean = images.mean(dim=(2, 3), keepdim=True)
    spread = images.std(dim=(2, 3), keepdim=True).clamp_min(1e-4)
    # Random numbers of chosen images come last, so that the order begins with the others.
    order = (torch.rand(len(images), device=images.device) + chosen).argsort()
    rank = torch.arange(len(images), device=images.device) % (~chosen).sum().clamp_min(1)
    style = order[rank]
    styled = ((images - mean) / spread * spread[style] + mean[style]).clamp(0, 1)
    return torch.where((chosen & ~chosen.all())[:, None, None, None], styled, images)
