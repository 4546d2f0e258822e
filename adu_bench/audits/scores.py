"""Numbers that several audits share."""

from __future__ import annotations

import numpy as np

from adu_bench.audits.subject import Outputs
from adu_bench.runner.evaluate import Images

SHOTS, DRAWS = 5, 5
"""Images of each class that a few-shot attacker has, and the number of draws over which it is averaged."""
LEAST = 0.01
"""Where zero-shot accuracy is not this much above chance, there was nothing to recover."""
TINY = 1e-18
"""Where the product of two covariances' norms is below this, a representation is constant but for rounding."""


def accuracy(outputs: Outputs, mask: np.ndarray | None = None) -> tuple[float, int]:
    """Return accuracy, and the number of images; ties count one over their number.

    Parameters
    ----------
    outputs
        Of N images.
    mask
        Which of them count, bool, (N,); None for all.  At least one.
    """
    credit = outputs.credit if mask is None else outputs.credit[mask]
    return float(credit.mean()), len(credit)


def recovered(value: float, before: float, classes: int) -> float:
    """Return accuracy above chance as a share of the original's: 0 at chance, 1 where all is back.

    Parameters
    ----------
    value
        What the attacker reaches, 0..1.
    before
        What the same attack reaches on the untouched classifier, 0..1.
    classes
        Number of classes; chance is one over it.

    Returns
    -------
    float
        0 where the original is not above chance.  Values below 0 and above 1 are kept.
    """
    chance = 1 / classes
    return (value - chance) / (before - chance) if before - chance > LEAST else 0.0


def draw(images: Images, mask: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the same number of images of each class; where a class has fewer, all of them.

    Parameters
    ----------
    images
        N images.
    mask
        Which of them may be drawn, bool, (N,).
    count
        Images per class.
    rng
        Source of the draw.

    Returns
    -------
    ndarray
        Positions, int64, class by class.
    """
    places = rng.permutation(np.flatnonzero(mask))
    labels = images.labels[places]
    return np.concatenate([places[labels == label][:count] for label in np.unique(labels)])


def few_shots(images: Images, mask: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return `DRAWS` draws of `SHOTS` images of each class, see `draw`."""
    return [draw(images, mask, SHOTS, rng) for _ in range(DRAWS)]


def sample(mask: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return the positions of up to ``most`` images at which a mask (N,) is true, drawn at random, in order, int64."""
    return np.sort(rng.permutation(np.flatnonzero(mask))[:most])


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Return the linear centred kernel alignment of two representations of the same images (Kornblith et al. 2019).

    Parameters
    ----------
    first, second
        Features, floating, (N, D) and (N, E).

    Returns
    -------
    float
        0..1; 1 for representations that are equal up to rotation and scale, 0 where one is constant.
    """
    x, y = (features.astype(np.float64) - features.astype(np.float64).mean(axis=0) for features in (first, second))
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / scale) if scale > TINY else 0.0
