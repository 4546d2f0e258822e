"""What the metrics of one run are computed from, and how (Kawamura et al. 2025 for Mem, For and H)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

Value = tuple[float, int]
"""A number, and the number of test images that it is computed from."""


def credit(predictions: pd.DataFrame) -> np.ndarray:
    """Return how right each answer is, 0..1: one over the number of tied classes if the true class is among them.

    A uniform answer over C classes therefore scores 1/C, whichever class comes first.

    Parameters
    ----------
    predictions
        N rows with ``p_label``, ``p_max`` and ``tied``.

    Returns
    -------
    ndarray
        (N,), float64.
    """
    right = predictions["p_label"].to_numpy() >= predictions["p_max"].to_numpy()
    return right / predictions["tied"].to_numpy()


def harmonic(mem: float, forgotten: float) -> float:
    """Return the harmonic mean of two numbers in 0..1; zero where both are zero."""
    return 2 * mem * forgotten / (mem + forgotten) if mem + forgotten > 0 else 0.0


_ROUNDING = 1e-9
"""A mean of answers at chance differs from chance by less than this."""


class Evidence:
    """The results of one run.

    Parameters
    ----------
    predictions
        One row per test image.
    classes
        Number of classes C of the task; chance is 1/C.
    before
        The evidence of zero-shot CLIP for the same images and classes; None if there is none.
    measured
        Numbers that do not follow from predictions, such as ``seconds``.
    """

    def __init__(
        self,
        predictions: pd.DataFrame,
        classes: int,
        before: Evidence | None = None,
        measured: Mapping[str, Any] | None = None,
    ) -> None:
        self.predictions, self.classes, self.before, self.measured = predictions, classes, before, measured or {}
        self.credit = credit(predictions)
        self.gone = predictions["forget"].to_numpy(dtype=bool)

    @cached_property
    def domains(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """The number of each image's domain (N,), int64, and the domains in order."""
        codes, names = pd.factorize(self.predictions["domain"], sort=True)
        return codes, tuple(map(str, names))

    @cached_property
    def by_domain(self) -> dict[str, Value]:
        """Accuracy and number of images of each domain."""
        codes, names = self.domains
        sizes = np.bincount(codes, minlength=len(names))
        means = np.bincount(codes, self.credit, minlength=len(names)) / sizes
        return {name: (float(mean), int(size)) for name, mean, size in zip(names, means, sizes, strict=True)}

    def of_domains(self, gone: bool) -> list[str]:
        """Return the forget or the retain domains, in the order of the images."""
        codes, names = self.domains
        return [names[code] for code in pd.unique(codes[self.gone == gone])]

    def outside(self, domains: Collection[str]) -> np.ndarray:
        """Return the mask (N,) of the images of other domains."""
        codes, names = self.domains
        return np.array([name not in domains for name in names], dtype=bool)[codes]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def mem(run: Evidence) -> Value:
    """Accuracy on all images of retain domains together, as in the released code: larger domains weigh more."""
    kept = run.credit[~run.gone]
    return _mean(kept), len(kept)


def forgotten(run: Evidence) -> Value:
    """Error rate on all images of forget domains together."""
    gone = run.credit[run.gone]
    return 1 - _mean(gone), len(gone)


def h(run: Evidence) -> Value:
    """Harmonic mean of Mem and For."""
    return harmonic(mem(run)[0], forgotten(run)[0]), len(run.credit)


def worst_retain(run: Evidence) -> Value:
    """Lowest accuracy on a retain domain."""
    accuracies = [run.by_domain[domain][0] for domain in run.of_domains(gone=False)]
    return min(accuracies, default=np.nan), int((~run.gone).sum())


def accuracy(run: Evidence) -> dict[str, Value]:
    """Accuracy by domain."""
    return run.by_domain


def accuracy_before(run: Evidence) -> dict[str, Value] | None:
    """Accuracy of zero-shot CLIP by domain."""
    return None if run.before is None else run.before.by_domain


def retain_drop(run: Evidence) -> Value | None:
    """Accuracy of zero-shot CLIP on retain domains minus that of the run."""
    if run.before is None:
        return None
    now, count = mem(run)
    return _mean(run.before.credit[run.before.outside(run.of_domains(gone=True))]) - now, count


def normalised_forgetting(run: Evidence) -> Value | None:
    """Share of zero-shot CLIP's accuracy above chance that is gone, averaged over forget domains."""
    if run.before is None:
        return None
    chance = 1 / run.classes
    pairs = [(run.before.by_domain[name][0], run.by_domain[name][0]) for name in run.of_domains(gone=True)]
    # Where zero-shot CLIP is at chance there is nothing to forget, and the ratio is meaningless.
    shares = [(old - now) / (old - chance) for old, now in pairs if old - chance > _ROUNDING]
    return (float(np.mean(shares)), int(run.gone.sum())) if shares else None


def forget_mean(column: str) -> Callable[[Evidence], Value]:
    """Return a function that averages a column of the predictions over forget domains."""
    return lambda run: (_mean(run.predictions[column].to_numpy()[run.gone]), int(run.gone.sum()))


def measured(name: str) -> Callable[[Evidence], Value | None]:
    """Return a function that takes a number which was measured during or after the run."""

    def take(run: Evidence) -> Value | None:
        value = run.measured.get(name)
        return (float(value), 1) if isinstance(value, int | float | np.floating) and np.isfinite(value) else None

    return take
