"""Squared maximum mean discrepancy between domains, with a Gaussian kernel (Gretton et al. 2012)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor

Bandwidth = Literal["median"] | Sequence[float]


def mmd2(x: Tensor, y: Tensor, bandwidth: Bandwidth = "median") -> Tensor:
    """Squared MMD of two samples as the biased V-statistic, kernel exp(-d^2 / (2 sigma^2)).

    Parameters
    ----------
    x, y
        Samples (N, D) and (M, D), floating; computed in at least float32.
    bandwidth
        ``"median"``: sigma is the median distance between ``x`` and ``y``, taken without gradient (the released
        code's rule).  A sequence of numbers: the kernel is the mean of the kernels with these sigmas.

    Returns
    -------
    Tensor
        A scalar in 0..2, differentiable in both samples.
    """
    x, y = (sample if sample.dtype == torch.float64 else sample.float() for sample in (x, y))
    both = torch.cat([x, y])
    squared = _squared_distances(both)
    kernel = _kernel(squared, squared[: len(x), len(x) :], bandwidth)
    # The statistic is w' K w with weights 1/N on x and -1/M on y.
    weights = torch.cat([x.new_full((len(x),), 1 / len(x)), x.new_full((len(y),), -1 / len(y))])
    return weights @ kernel @ weights


def domain_mmd2(
    features: Tensor, domains: Tensor, bandwidth: Bandwidth = "median", reduce: Literal["mean", "sum"] = "mean"
) -> Tensor:
    """Squared MMD over all pairs of domains in a batch (the paper's MMD term averages them).

    A pair with fewer than two images on either side is left out; without any pair the result is zero with zero
    gradients.

    Parameters
    ----------
    features
        (N, D), floating.
    domains
        (N,), int64.
    bandwidth
        As in `mmd2`, per pair.
    reduce
        Mean or sum over the pairs present.
    """
    groups = [features[domains == domain] for domain in domains.unique().tolist()]
    pairs = [mmd2(x, y, bandwidth) for x, y in combinations([g for g in groups if len(g) > 1], 2)]
    if not pairs:
        return features.float().sum() * 0.0
    total = torch.stack(pairs)
    return total.mean() if reduce == "mean" else total.sum()


def _squared_distances(x: Tensor) -> Tensor:
    norms = x.square().sum(dim=1)
    return (norms[:, None] + norms[None, :] - 2 * x @ x.T).clamp_min(0)


def _kernel(squared: Tensor, across: Tensor, bandwidth: Bandwidth) -> Tensor:
    if isinstance(bandwidth, str):
        sigma2 = across.detach().sqrt().median().square().clamp_min(1e-12)
        return torch.exp(-squared / (2 * sigma2))
    return torch.stack([torch.exp(-squared / (2 * sigma**2)) for sigma in bandwidth]).mean(dim=0)
