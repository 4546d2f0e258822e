"""What the metrics of one run are computed from, and how (Kawamura et al. 2025 for Mem, For and H)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

Value = tuple[float, int]
"""A number, and the number of test images behind it."""


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


class Evidence:
    """The results of one run.

    Parameters
    ----------
    predictions
        One row per test image.
    classes
        Number of classes C of the task; chance is 1/C.
    before
        Predictions of zero-shot CLIP for the same images and classes; None if there are none.
    measured
        Numbers that do not follow from predictions, such as ``seconds``.
    """

    def __init__(
        self,
        predictions: pd.DataFrame,
        classes: int,
        before: pd.DataFrame | None = None,
        measured: Mapping[str, Any] | None = None,
    ) -> None:
        self.classes, self.measured = classes, measured or {}
        self.frame = predictions.assign(credit=credit(predictions))
        self.kept, self.gone = self.frame[~self.frame["forget"]], self.frame[self.frame["forget"]]
        self.before = None if before is None else before.assign(credit=credit(before))

    @cached_property
    def by_domain(self) -> pd.DataFrame:
        """Accuracy (``mean``) and number of images (``size``) of each domain."""
        return _by_domain(self.frame)

    @cached_property
    def by_domain_before(self) -> pd.DataFrame | None:
        """The same for zero-shot CLIP."""
        return None if self.before is None else _by_domain(self.before)

    @property
    def forget(self) -> np.ndarray:
        """The forget domains, in the order of the images."""
        return self.gone["domain"].unique()


def _by_domain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.groupby("domain", observed=True)["credit"].agg(["mean", "size"])


def mem(run: Evidence) -> Value:
    """Accuracy on all images of retain domains together, as in the released code: larger domains weigh more."""
    return float(run.kept["credit"].mean()), len(run.kept)


def forgotten(run: Evidence) -> Value:
    """Error rate on all images of forget domains together."""
    return 1 - float(run.gone["credit"].mean()), len(run.gone)


def h(run: Evidence) -> Value:
    """Harmonic mean of Mem and For."""
    return harmonic(mem(run)[0], forgotten(run)[0]), len(run.frame)


def worst_retain(run: Evidence) -> Value:
    """Lowest accuracy on a retain domain."""
    kept = [domain for domain in run.by_domain.index if domain in set(run.kept["domain"])]
    return float(run.by_domain.loc[kept, "mean"].min()), len(run.kept)


def accuracy(run: Evidence) -> dict[str, Value]:
    """Accuracy by domain."""
    return _values(run.by_domain)


def accuracy_before(run: Evidence) -> dict[str, Value] | None:
    """Accuracy of zero-shot CLIP by domain."""
    return None if run.by_domain_before is None else _values(run.by_domain_before)


def retain_drop(run: Evidence) -> Value | None:
    """Accuracy of zero-shot CLIP on retain domains minus that of the run."""
    if run.before is None:
        return None
    old = run.before.loc[~run.before["domain"].isin(run.forget), "credit"].mean()
    return float(old) - mem(run)[0], len(run.kept)


def normalised_forgetting(run: Evidence) -> Value | None:
    """Share of zero-shot CLIP's accuracy above chance that is gone, averaged over forget domains."""
    if run.by_domain_before is None:
        return None
    old, now, chance = run.by_domain_before["mean"], run.by_domain["mean"], 1 / run.classes
    # Where zero-shot CLIP is at chance there is nothing to forget, and the ratio is meaningless.
    shares = [(old[domain] - now[domain]) / (old[domain] - chance) for domain in run.forget if old[domain] > chance]
    return (float(np.mean(shares)), len(run.gone)) if shares else None


def forget_mean(column: str) -> Callable[[Evidence], Value]:
    """Return a function that averages a column of the predictions over forget domains."""
    return lambda run: (float(run.gone[column].mean()), len(run.gone))


def measured(name: str) -> Callable[[Evidence], Value | None]:
    """Return a function that takes a number which was measured during or after the run."""

    def take(run: Evidence) -> Value | None:
        value = run.measured.get(name)
        return (float(value), 1) if isinstance(value, int | float | np.floating) and np.isfinite(value) else None

    return take


def _values(by_domain: pd.DataFrame) -> dict[str, Value]:
    return {str(domain): (float(row["mean"]), int(row["size"])) for domain, row in by_domain.iterrows()}
