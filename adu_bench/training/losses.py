"""The loss terms of approximate domain unlearning (Kawamura et al. 2025).

Every term is a mean over the images of one group (retain or forget), computed as a weighted mean over the whole batch.
The selection stays on the device, so that a training step never waits for it.  A term is zero if the batch has no
image of its group.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ENTROPY_OFFSET = 1e-5
"""Offset inside the logarithm of the released code's entropy."""


def memorize(logits: Tensor, labels: Tensor, forget: Tensor) -> Tensor:
    """Return the mean cross-entropy of the images of retain domains (the paper's L_memorize).

    Parameters
    ----------
    logits
        (N, C), floating.
    labels
        (N,), int64 in 0..C-1.
    forget
        (N,), bool: whether the image's domain is to be forgotten.

    Returns
    -------
    Tensor
        A scalar; zero, with zero gradients, if the batch has no image of this group.
    """
    return _mean(F.cross_entropy(logits.float(), labels, reduction="none"), ~forget)


def uniform_ce(logits: Tensor, forget: Tensor) -> Tensor:
    """Return the mean cross-entropy from the uniform distribution of the images of forget domains (L_forget).

    It is at least ln C, the value of a uniform answer.  Arguments and absent groups as in `memorize`.
    """
    return _mean(-F.log_softmax(logits.float(), dim=-1).mean(dim=-1), forget)


def neg_entropy(logits: Tensor, forget: Tensor, offset: float = ENTROPY_OFFSET) -> Tensor:
    """Return the mean negative Shannon entropy of the images of forget domains (the released code's form).

    It is at least -ln C.  Its gradient vanishes on confident images, unlike that of `uniform_ce`.  Arguments and absent
    groups as in `memorize`.
    """
    p = logits.float().softmax(dim=-1)
    return _mean((p * (p + offset).log()).sum(dim=-1), forget)


def domain_ce(domain_logits: Tensor, domains: Tensor) -> Tensor:
    """Return the mean cross-entropy of a domain classifier.

    Parameters
    ----------
    domain_logits
        (N, K), floating, K at least the number of domains.
    domains
        (N,), int64.
    """
    return F.cross_entropy(domain_logits.float(), domains)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen values (N,); zero if none is chosen."""
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp_min(1)
