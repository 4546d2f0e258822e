"""How well a linear probe separates domains by the features of a classifier."""

from __future__ import annotations

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
    train = x[~held]
    centre = train.mean(axis=0)
    centred = train - centre
    gram = centred.T @ centred
    penalty = RIDGE * np.trace(gram) / len(gram) + 1e-12
    one_hot = np.eye(count)[targets[~held]]
    weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), centred.T @ (one_hot - one_hot.mean(axis=0)))
    scores = (x[held] - centre) @ weights + one_hot.mean(axis=0)
    return scores.argmax(axis=1) == targets[held]
