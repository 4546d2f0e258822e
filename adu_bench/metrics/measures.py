"""The measures of one run, each from its predictions (Kawamura et al. 2025 for Mem, For and H)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

UP, DOWN, NEITHER = "up", "down", "none"


@dataclass(frozen=True)
class Metric:
    """A declared measure.

    Parameters
    ----------
    name, title
        Name in frames and files, and for people.
    direction
        ``up`` if more is better, ``down`` if less is, ``none`` if it only describes.
    low, high
        Range of possible values (infinite where open).
    ideal
        The best value, or None.
    family
        ``core``, ``forgetting``, ``domain``, ``confidence``, ``representation``, ``cost``, or ``audit``,
        which the web page shows as columns where a board has them.
    """

    name: str
    title: str
    direction: str
    low: float
    high: float
    ideal: float | None
    family: str


METRICS = {
    metric.name: metric
    for metric in (
        Metric("mem", "Mem: accuracy on retain domains", UP, 0, 1, 1, "core"),
        Metric("for", "For: error rate on forget domains", UP, 0, 1, 1, "core"),
        Metric("h", "H: harmonic mean of Mem and For", UP, 0, 1, 1, "core"),
        Metric(
            "normalised_forgetting",
            "Share of zero-shot skill over chance that is gone",
            UP,
            -np.inf,
            np.inf,
            1,
            "forgetting",
        ),
        Metric("worst_retain", "Accuracy on the worst retain domain", UP, 0, 1, 1, "domain"),
        Metric("retain_drop", "Zero-shot accuracy minus accuracy on retain domains", DOWN, -1, 1, 0, "forgetting"),
        Metric("accuracy", "Accuracy on one domain", NEITHER, 0, 1, None, "domain"),
        Metric("accuracy_before", "Zero-shot accuracy on one domain", NEITHER, 0, 1, None, "domain"),
        Metric("forget_confidence", "Mean top probability on forget domains", DOWN, 0, 1, None, "confidence"),
        Metric("forget_entropy", "Mean entropy on forget domains, nats", UP, 0, np.inf, None, "confidence"),
        Metric(
            "domain_probe", "Accuracy of a linear domain probe on the features", NEITHER, 0, 1, None, "representation"
        ),
        Metric("trainable_parameters", "Trained parameters", DOWN, 0, np.inf, None, "cost"),
        Metric("seconds", "Training time, s", DOWN, 0, np.inf, None, "cost"),
        Metric("peak_memory_mb", "Peak memory, MiB", DOWN, 0, np.inf, None, "cost"),
    )
}
"""All measures; ``accuracy`` and ``accuracy_before`` occur once a domain, as ``accuracy:DOMAIN``."""


def credit(predictions: pd.DataFrame) -> np.ndarray:
    """Return how right each answer is, 0..1: one over the number of tied classes if the true class is among them.

    A uniform answer over C classes so scores 1/C, not the share of the class that happens to be first.
    """
    right = predictions["p_label"].to_numpy() >= predictions["p_max"].to_numpy()
    return right / predictions["tied"].to_numpy()


def harmonic(mem: float, forgotten: float) -> float:
    """Return the harmonic mean of two numbers in 0..1; zero where both are zero."""
    return 2 * mem * forgotten / (mem + forgotten) if mem + forgotten > 0 else 0.0


def measure(
    predictions: pd.DataFrame, classes: int, before: pd.DataFrame | None = None
) -> dict[str, tuple[float, int]]:
    """Return all measures of one run that follow from predictions, each with its number of images.

    Mem and For pool images, as the released code does: domains with more images weigh more.

    Parameters
    ----------
    predictions
        One row a test image.
    classes
        Number of classes C of the task; chance is 1/C.
    before
        Predictions of zero-shot CLIP for the same images and classes; measures that need them are left out if None.
    """
    frame = predictions.assign(credit=credit(predictions))
    kept, gone = frame[~frame["forget"]], frame[frame["forget"]]
    mem, forgotten = float(kept["credit"].mean()), 1 - float(gone["credit"].mean())
    by_domain = frame.groupby("domain", observed=True)["credit"].agg(["mean", "size"])
    kept_domains = [domain for domain in by_domain.index if domain in set(kept["domain"])]
    found = {
        "mem": (mem, len(kept)),
        "for": (forgotten, len(gone)),
        "h": (harmonic(mem, forgotten), len(frame)),
        "worst_retain": (float(by_domain.loc[kept_domains, "mean"].min()), len(kept)),
        "forget_confidence": (float(gone["p_max"].mean()), len(gone)),
        "forget_entropy": (float(gone["entropy"].mean()), len(gone)),
    }
    found |= {f"accuracy:{domain}": (float(row["mean"]), int(row["size"])) for domain, row in by_domain.iterrows()}
    if before is not None:
        found |= _against_zero_shot(frame, before, classes, by_domain["mean"])
    return found


def _against_zero_shot(
    frame: pd.DataFrame, before: pd.DataFrame, classes: int, now: Mapping[str, float]
) -> dict[str, tuple[float, int]]:
    graded = before.assign(credit=credit(before))
    by_domain = graded.groupby("domain", observed=True)["credit"].agg(["mean", "size"])
    old = by_domain["mean"]
    gone, kept = frame[frame["forget"]], frame[~frame["forget"]]
    chance = 1 / classes
    # Where zero-shot CLIP is at chance there is nothing to forget, and the ratio says nothing.
    shares = [
        (old[domain] - now[domain]) / (old[domain] - chance)
        for domain in gone["domain"].unique()
        if old[domain] > chance
    ]
    old_mem = float(graded.loc[~graded["domain"].isin(gone["domain"].unique()), "credit"].mean())
    found = {
        f"accuracy_before:{domain}": (float(row["mean"]), int(row["size"])) for domain, row in by_domain.iterrows()
    }
    found["retain_drop"] = (old_mem - float(kept["credit"].mean()), len(kept))
    if shares:
        found["normalised_forgetting"] = (float(np.mean(shares)), len(gone))
    return found
