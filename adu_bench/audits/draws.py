"""Draws of an attacker's images, and of the test images that an attack is judged on."""

from __future__ import annotations

import numpy as np


def few(labels: np.ndarray, count: int, rng: np.random.Generator, mask: np.ndarray | None = None) -> np.ndarray:
    """Return the positions of up to ``count`` images of every class, drawn at random, int64.

    Parameters
    ----------
    labels
        Class indices, (N,).
    count
        Images per class; a class that has fewer gives all of them.
    rng
        Source of the draw.
    mask
        Which images may be drawn, bool, (N,); None for all.
    """
    free = np.ones(len(labels), bool) if mask is None else mask
    return np.concatenate(
        [rng.permutation(np.flatnonzero(free & (labels == label)))[:count] for label in np.unique(labels)]
    )


def some(mask: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return the positions of up to ``most`` images at which a mask (N,) is true, drawn at random, in order."""
    return np.sort(rng.permutation(np.flatnonzero(mask))[:most])
