"""The loss terms of approximate domain unlearning (Kawamura et al. 2025); an absent group of images costs nothing."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

ENTROPY_OFFSET = 1e-5
"""Offset inside the logarithm of the released code's entropy."""


def memorize(logits: Tensor, labels: Tensor, forget: Tensor) -> Tensor:
    """Mean cross-entropy of the images of retain domains (the paper's L_memorize).

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
        A scalar; zero, with zero gradients, where the batch has no such image.
    """
    kept = ~forget
    return F.cross_entropy(logits[kept].float(), labels[kept]) if bool(kept.any()) else logits.float().sum() * 0.0


def uniform_ce(logits: Tensor, forget: Tensor) -> Tensor:
    """Mean cross-entropy from the uniform distribution of the images of forget domains (the paper's L_forget).

    At least ln C, reached by a uniform answer.  Arguments and empty groups as in `memorize`.
    """
    if not bool(forget.any()):
        return logits.float().sum() * 0.0
    return -F.log_softmax(logits[forget].float(), dim=-1).mean()


def neg_entropy(logits: Tensor, forget: Tensor, offset: float = ENTROPY_OFFSET) -> Tensor:
    """Mean negative Shannon entropy of the images of forget domains (the released code's form).

    At least -ln C.  Its gradient vanishes on confident images, unlike that of `uniform_ce`.  Arguments and empty
    groups as in `memorize`.
    """
    if not bool(forget.any()):
        return logits.float().sum() * 0.0
    p = logits[forget].float().softmax(dim=-1)
    return (p * (p + offset).log()).sum(dim=-1).mean()


def domain_ce(domain_logits: Tensor, domains: Tensor) -> Tensor:
    """Mean cross-entropy of a domain classifier: logits (N, K) with K at least the number of domains, domains (N,)."""
    return F.cross_entropy(domain_logits.float(), domains)
