"""How well a linear probe separates domains by the features of a classifier."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

FOLDS = 5
RIDGE = 1e-2
"""Penalty, relative to the mean squared feature; fixed so that methods can be compared."""


def domain_probe_accuracy(features: np.ndarray, domains: np.ndarray) -> float:
    """Return the cross-validated accuracy of a ridge classifier from features to domains.

    Parameters
    ----------
    features
        (N, D), floating.
    domains
        (N,), any labels; at least two different ones.

    Returns
    -------
    float
        Mean over folds, 0..1; folds are fixed and stratified by domain.
    """
    x = features.astype(np.float64)
    names, targets = np.unique(domains, return_inverse=True)
    fold = np.empty(len(x), np.int64)
    rng = np.random.default_rng(0)
    for domain in range(len(names)):
        rows = rng.permutation(np.flatnonzero(targets == domain))
        fold[rows] = np.arange(len(rows)) % FOLDS
    correct = [_correct(x, targets, len(names), fold == held) for held in range(FOLDS) if (fold == held).any()]
    return float(np.concatenate(correct).mean())


def _correct(x: np.ndarray, targets: np.ndarray, count: int, held: np.ndarray) -> np.ndarray:
    return ridge(x[~held], targets[~held], count)(x[held]).argmax(axis=1) == targets[held]


def ridge(features: np.ndarray, labels: np.ndarray, classes: int) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a ridge classifier from features to classes.

    The penalty is fixed relative to the mean squared feature, so that methods can be
    compared and the scale of features does not matter.

    Parameters
    ----------
    features
        (N, D), floating.
    labels
        Class indices, (N,).
    classes
        Number of classes C.

    Returns
    -------
    function
        From features (M, D) to scores (M, C), float64; the largest is the answer.
    """
    x = features.astype(np.float64)
    centre = x.mean(axis=0)
    centred, one_hot = x - centre, np.eye(classes)[labels]
    prior = one_hot.mean(axis=0)
    gram = centred.T @ centred
    penalty = RIDGE * np.trace(gram) / len(gram) + 1e-12
    weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), centred.T @ (one_hot - prior))
    return lambda other: (other.astype(np.float64) - centre) @ weights + prior
