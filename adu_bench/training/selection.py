"""H of logits, for methods that choose by it."""

from __future__ import annotations

from torch import Tensor


def harmonic_h(logits: Tensor, labels: Tensor, forget: Tensor) -> float:
    """Return H, the harmonic mean of Mem and For.

    Parameters
    ----------
    logits
        (N, C), floating.
    labels
        (N,), int64 in 0..C-1.
    forget
        (N,), bool: whether the image's domain is to be forgotten; both values must occur.

    Returns
    -------
    float
        0..1; a tie of k classes counts 1 / k where the label is one of them, as in the metrics.
    """
    best = logits == logits.max(dim=-1, keepdim=True).values
    right = (best.gather(1, labels[:, None])[:, 0] / best.sum(dim=-1)).float()
    mem, for_ = float(right[~forget].mean()), 1 - float(right[forget].mean())
    return 2 * mem * for_ / (mem + for_) if mem + for_ else 0.0
