"""Numbers that several audits share."""

from __future__ import annotations

import numpy as np

from adu_bench.audits.subject import Outputs

LEAST = 0.01
"""Where zero-shot accuracy is not this much above chance, there was nothing to recover."""


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
