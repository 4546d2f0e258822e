"""Non-transferable learning (Wang et al. 2022), target-specified: a bounded product of error and domain distance."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adu_bench.api import Batch, Card, Classifier, Losses, Problem

from ._trained import Loss, WeightsTrained, cross_entropies, group_mean


@dataclass(frozen=True, kw_only=True)
class Ntl(WeightsTrained):
    """Raise the forget images' error and their distance from retain images, as a product of two bounded terms."""

    card = Card(
        name="ntl",
        group="authorisation",
        title="Non-Transferable Learning",
        authors="Wang et al.",
        year=2022,
        paper="arXiv:2106.06916",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "Retain domains are the source, forget domains the target. Trained: the image tower, with the zero-shot "
            "texts as class weights (a network there). Loss: CE(source) - min(1, 0.1 CE(target)) min(1, 0.1 MMD), so "
            "it is at least CE(source) - 1. MMD of the features with the sum of 5 Gaussian kernels, whose widths are "
            "powers of 2 around the mean squared distance. Adam, lr 1e-4, times 0.999 per step there; here the "
            "project's cosine. NTLBench has lr 1e-4, 20 epochs, batches of 32. The MMD does not depend on the scale "
            "of the features and stays below 7.8, so 0.1 MMD never reaches its bound. The official MMD is that of a "
            "middle layer, here that of the output; the official divergence is averaged over the classes too, so its "
            "bound is met at a cross-entropy of ten times their number, here at ten."
        ),
    )
    optimiser = "adamw"
    weight_decay = 0.0

    # lr: around the official 1e-4 and NTLBench's 1e-3.  alpha, beta: around the official 0.1, and higher.
    ranges = {"lr": (1e-5, 1e-2), "alpha": (0.03, 1.0), "beta": (0.03, 10.0)}
    bounds = {"alpha": ">= 0", "beta": ">= 0"}

    epochs: int = 20
    """Passes over the few-shot images."""
    alpha: float = 0.1
    """Weight of the target's cross-entropy inside its bound."""
    beta: float = 0.1
    """Weight of the MMD inside its bound."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the cross-entropy of retain images and the product."""

        def terms(batch: Batch) -> Losses:
            features = model.features(batch.images)
            values = cross_entropies(model.classify(features), batch.labels)
            distance = multi_kernel_mmd(features, batch.forget)
            target = group_mean(values, batch.forget)
            return {
                "retain": group_mean(values, ~batch.forget),
                "product": -bounded_product(target, distance, self.alpha, self.beta),
            }

        return terms


def bounded_product(error: Tensor, distance: Tensor, alpha: float, beta: float) -> Tensor:
    """Return min(1, alpha error) min(1, beta distance), which is at most 1."""
    return (alpha * error).clamp(max=1) * (beta * distance).clamp(max=1)


def multi_kernel_mmd(features: Tensor, forget: Tensor, kernels: int = 5, factor: float = 2.0) -> Tensor:
    """Return the squared MMD between forget and retain images, with a sum of Gaussian kernels exp(-d^2 / width).

    The middle width is the mean squared distance over pairs of different images, without gradient; the others are its
    multiples by powers of the factor.  Without images of either group the result is zero.

    Parameters
    ----------
    features
        (N, D).
    forget
        (N,), bool.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features.float()
        squared = (features[:, None] - features).square().sum(dim=-1)
        count = len(features)
        middle = (squared.detach().sum() / max(1, count**2 - count)).clamp_min(1e-12)
        widths = [middle * factor ** (power - kernels // 2) for power in range(kernels)]
        kernel = torch.stack([torch.exp(-squared / width) for width in widths]).sum(dim=0)
        weights = forget / forget.sum().clamp_min(1) - (~forget) / (~forget).sum().clamp_min(1)
        both = forget.any() & (~forget).any()
        return torch.where(both, (weights[:, None] * weights * kernel).sum(), 0.0)
