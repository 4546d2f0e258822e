"""Repairs of answers: change the logits of a classifier without looking inside."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment, minimize, minimize_scalar
from scipy.special import log_softmax, softmax

PENALTY = 1e-3
"""Squared-norm penalty on a fitted bias: without it, that of a class that is never right becomes infinite."""


def mean_shift(forget: np.ndarray, retain: np.ndarray) -> np.ndarray:
    """Return the bias (C,) by which mean logits on forget images exceed those on retain images; needs no labels.

    Parameters
    ----------
    forget, retain
        Logits, (N, C) and (M, C).
    """
    return forget.mean(axis=0) - retain.mean(axis=0)


def fitted_shift(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the bias (C,) whose subtraction from logits (N, C) minimises the cross-entropy with labels (N,)."""
    logits = logits.astype(np.float64)
    share = np.bincount(labels, minlength=logits.shape[1]) / len(labels)

    def loss(shift: np.ndarray) -> tuple[float, np.ndarray]:
        slope = share - softmax(logits - shift, axis=1).mean(axis=0) + 2 * PENALTY * shift
        return cross_entropy(logits - shift, labels) + PENALTY * float(shift @ shift), slope

    return minimize(loss, np.zeros(logits.shape[1]), jac=True, method="L-BFGS-B").x


def best_permutation(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which old answer to read as which class: the one-to-one assignment that makes most answers right.

    Parameters
    ----------
    logits, labels
        (N, C) and (N,).

    Returns
    -------
    ndarray
        int64, (C,); ``logits[:, result]`` are the repaired logits.  Mean probabilities decide between assignments that
        are right equally often, and the old answers between those that are still equal.
    """
    classes = logits.shape[1]
    kinds = np.eye(classes)[labels]
    answers = np.eye(classes)[logits.argmax(axis=1)]
    # Over one assignment the probabilities add up to less than half an answer, and the old answers to less than that.
    gain = kinds.T @ (answers + softmax(logits.astype(np.float64), axis=1) / (2 * len(logits) + 1))
    return linear_sum_assignment(gain + 1e-9 * np.eye(classes), maximize=True)[1].astype(np.int64)


def best_rank(logits: np.ndarray, labels: np.ndarray) -> int:
    """Return the rank (0 for the top class) that the right class has most often; the first of equally frequent ones.

    Images whose right class shares its logit with another one are left out, since its rank is unknown.
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    clear = (logits == own).sum(axis=1) == 1
    return int(np.bincount((logits > own).sum(axis=1)[clear], minlength=1).argmax())


def read_rank(logits: np.ndarray, rank: int) -> np.ndarray:
    """Return logits (N, C) with the class of a rank on top; rank 0 changes nothing."""
    if rank == 0:
        return logits
    place = np.argsort(-logits, axis=1, kind="stable")[:, rank, None]
    lifted = logits.copy()
    np.put_along_axis(lifted, place, logits.max(axis=1, keepdims=True) + 1, axis=1)
    return lifted


def fitted_scale(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the factor on logits (N, C) that minimises the cross-entropy with labels (N,).

    It is one over the best temperature.  A negative factor turns the order of the classes around.
    """
    logits = logits.astype(np.float64)
    spread = float(logits.std(axis=1).mean())
    if spread == 0:
        return 1.0
    # The loss is convex in the factor; beyond these bounds answers are as good as certain.
    found = minimize_scalar(lambda scale: cross_entropy(scale * logits, labels), bounds=(-50 / spread, 50 / spread))
    return float(found.x)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy in nats of logits (N, C) with labels (N,)."""
    return -float(log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def information(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return how far probabilities tell the label, 0..1: 1 - cross-entropy / ln C, and 0 where that is negative."""
    return max(0.0, 1 - cross_entropy(logits.astype(np.float64), labels) / np.log(logits.shape[1]))
