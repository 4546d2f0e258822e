"""All metrics: each is declared here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from adu_bench.metrics import evidence
from adu_bench.metrics.evidence import Evidence, Value, harmonic
from adu_bench.metrics.metric import (  # fmt: skip
    ALWAYS,
    COUNT,
    DATA,
    DOWN,
    INTERVAL,
    LETTERS,
    MEBIBYTES,
    NATS,
    NEITHER,
    NEVER,
    SECONDS,
    Metric,
)


def _h_of_means(means: Mapping[str, Any]) -> float | None:
    return harmonic(means["mem"], means["for"]) if {"mem", "for"} <= set(means) else None


_ERRORS = 2
"""Zero-shot accuracy within this many standard errors of chance counts as near chance."""


def _forgot(run: Evidence) -> Value | None:
    """Return `evidence.normalised_forgetting`; None where zero-shot CLIP is near chance on a forget domain.

    There is nothing to forget there, and the share would be noise divided by noise.
    """
    if run.before is None:
        return None
    chance = 1 / run.classes
    for domain in run.of_domains(gone=True):
        accuracy, count = run.before.by_domain[domain]
        if accuracy - chance <= _ERRORS * (chance * (1 - chance) / count) ** 0.5:
            return None
    return evidence.normalised_forgetting(run)


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("mem", "Mem", "accuracy on retain domains", evidence.mem, column=ALWAYS, priority=1),
        Metric("for", "For", "error rate on forget domains", evidence.forgotten, column=ALWAYS, priority=1),
        Metric("h", "H", "harmonic mean of Mem and For", evidence.h),
        Metric(
            "h_mean", "mean of H", "H of each run, averaged over seeds, then over tasks",
            of_board=lambda means: means.get("h"), column=ALWAYS, priority=1,
        ),
        Metric(
            "h_interval", "95 % interval",
            "interval of the mean of H for other few-shot draws and other test images, on these tasks",
            unit=INTERVAL, column=ALWAYS, empty="too few seeds for an interval",
        ),
        Metric(
            "letters", "letters",
            "ranked methods that share a letter cannot be told apart (tests of all pairs, Holm, 5 %; a\N{EN DASH}d is "
            "abcd)",
            unit=LETTERS, direction=NEITHER, column=ALWAYS, empty="not ranked, or nothing to compare with",
        ),
        Metric(
            "h_of_means", "H of means", "harmonic mean of the columns Mem and For",
            of_board=_h_of_means, column=ALWAYS, priority=2,
        ),
        Metric(
            "normalised_forgetting", "forgot",
            "share of zero-shot accuracy above chance that is gone on forget domains",
            _forgot, low=-np.inf, high=np.inf, family="forgetting", column=ALWAYS, priority=2,
            empty="no zero-shot run to compare with, or zero-shot CLIP is near chance on a forget domain",
        ),
        Metric(
            "worst_retain", "worst retain", "accuracy on the worst retain domain",
            evidence.worst_retain, family="domain", column=DATA,
        ),
        Metric(
            "retain_drop", "retain drop", "zero-shot accuracy minus accuracy on retain domains",
            evidence.retain_drop, direction=DOWN, low=-1, family="forgetting",
        ),
        Metric(
            "accuracy", "accuracy", "accuracy on one domain, as accuracy:DOMAIN",
            evidence.accuracy, direction=NEITHER, family="domain",
        ),
        Metric(
            "accuracy_before", "zero-shot accuracy", "zero-shot accuracy on one domain, as accuracy_before:DOMAIN",
            evidence.accuracy_before, direction=NEITHER, family="domain",
        ),
        Metric(
            "forget_confidence", "confidence", "mean top probability on forget domains",
            evidence.forget_mean("p_max"), direction=DOWN, family="confidence",
        ),
        Metric(
            "forget_entropy", "entropy", "mean entropy on forget domains, in nats",
            evidence.forget_mean("entropy"), unit=NATS, high=np.inf, family="confidence",
        ),
        Metric(
            "domain_probe", "probe", "accuracy of a linear probe for the domain on the features",
            evidence.measured("domain_probe"), direction=NEITHER, family="representation", column=ALWAYS,
            empty="no features were stored",
        ),
        Metric(
            "trainable_parameters", "parameters", "number of trained parameters",
            evidence.measured("trainable_parameters"), unit=COUNT, direction=DOWN, high=np.inf, family="cost",
            column=ALWAYS,
        ),
        Metric(
            "seconds", "s", "training time in seconds",
            evidence.measured("seconds"), unit=SECONDS, direction=DOWN, high=np.inf, family="cost", column=ALWAYS,
            priority=2,
        ),
        Metric(
            "peak_memory_mb", "memory", "peak memory in MiB",
            evidence.measured("peak_memory_mb"), unit=MEBIBYTES, direction=DOWN, high=np.inf, family="cost",
        ),
    )
}  # fmt: skip
"""The metrics in the order of a board's columns."""


def board_metrics() -> list[Metric]:
    """Return the metrics that a row of a board holds."""
    return [metric for metric in METRICS.values() if metric.column != NEVER]


def measure(
    predictions: pd.DataFrame,
    classes: int,
    before: Evidence | None = None,
    measured: Mapping[str, Any] | None = None,
) -> dict[str, Value]:
    """Compute all metrics of one run, each with the number of images that it rests on.

    Parameters
    ----------
    predictions, classes, before, measured
        See `adu_bench.metrics.evidence.Evidence`.

    Returns
    -------
    dict
        By metric key; metrics by domain have keys such as ``accuracy:DOMAIN``.  What the run does not allow is absent.
    """
    run = Evidence(predictions, classes, before, measured)
    found: dict[str, Value] = {}
    for key, metric in METRICS.items():
        value = metric.of_run(run) if metric.of_run is not None else None
        if isinstance(value, Mapping):
            found |= {f"{key}:{domain}": own for domain, own in value.items()}
        elif value is not None:
            found[key] = value
    return found
