"""Squared maximum mean discrepancy between domains, with a Gaussian kernel (Gretton et al. 2012)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Bandwidth = Literal["median"] | Sequence[float]


def mmd2(x: Tensor, y: Tensor, bandwidth: Bandwidth = "median") -> Tensor:
    """Return the squared MMD of two samples as the biased V-statistic, kernel exp(-d^2 / (2 sigma^2)).

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
    domains = torch.cat([x.new_zeros(len(x), dtype=torch.int64), y.new_ones(len(y), dtype=torch.int64)])
    return _pairwise(torch.cat([x, y]), domains, 2, bandwidth)[0][0]


def domain_mmd2(
    features: Tensor,
    domains: Tensor,
    count: int,
    bandwidth: Bandwidth = "median",
    reduce: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Return the squared MMD over all pairs of domains in a batch (the paper's MMD term averages them).

    A pair with fewer than two images in either domain is left out; if no pair is left, the result is zero with zero
    gradients.  All pairs share one matrix of distances, and nothing waits for the device.

    Parameters
    ----------
    features
        (N, D), floating; computed in at least float32, also under autocast.
    domains
        (N,), int64 in 0..count-1.
    count
        Number of domains; a batch may lack some of them.
    bandwidth
        As in `mmd2`, per pair.
    reduce
        Mean or sum over the pairs that are not left out.
    """
    values, sizes = _pairwise(features, domains, count, bandwidth)
    present = (sizes > 1).all(dim=0)
    total = torch.where(present, values, 0.0).sum()
    return total / present.sum().clamp_min(1) if reduce == "mean" else total


def _pairwise(features: Tensor, domains: Tensor, count: int, bandwidth: Bandwidth) -> tuple[Tensor, Tensor]:
    """Return each pair's squared MMD, (pairs,), and the number of images of its two domains, (2, pairs)."""
    left, right = torch.triu_indices(count, count, 1, device=features.device)
    with torch.autocast(features.device.type, enabled=False):
        features = features if features.dtype == torch.float64 else features.float()
        member = domains == torch.arange(count, device=domains.device)[:, None]
        sizes = member.sum(dim=1)
        # The statistic is w' K w with weights 1/N on one domain and -1/M on the other.
        weights = member / sizes.clamp_min(1)[:, None].to(features.dtype)
        signed = weights[left] - weights[right]
        squared = _squared_distances(features)
        if isinstance(bandwidth, str):
            across = member[left][:, :, None] & member[right][:, None, :]
            kernel = torch.exp(squared / (-2 * _median(squared.detach(), across)[:, None, None]))
            values = torch.einsum("pi,pij,pj->p", signed, kernel, signed)
        else:
            kernel = torch.stack([torch.exp(squared / (-2 * sigma**2)) for sigma in bandwidth]).mean(dim=0)
            values = ((signed @ kernel) * signed).sum(dim=1)
    return values, torch.stack([sizes[left], sizes[right]])


def _median(squared: Tensor, chosen: Tensor) -> Tensor:
    """Return the median of the chosen squared distances (N, N) of each pair, (pairs,); one if none is chosen."""
    median = torch.where(chosen, squared, torch.nan).flatten(1).nanmedian(dim=1).values
    return median.clamp_min(1e-12).nan_to_num(nan=1.0)


def _squared_distances(x: Tensor) -> Tensor:
    norms = x.square().sum(dim=1)
    return (norms[:, None] + norms[None, :] - 2 * x @ x.T).clamp_min(0)
