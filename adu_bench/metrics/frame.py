"""All measures of many runs as one long table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import pandas as pd

from adu_bench.core.specs import RunSpec
from adu_bench.metrics.measures import measure
from adu_bench.metrics.probe import domain_probe_accuracy

COLUMNS = ("key", "suite", "task", "forget", "method", "seed", "protocol", "metric", "value", "n")
ZERO_SHOT = "zero-shot"
"""The method whose predictions say what there was to forget."""


class Scorable(Protocol):
    """What can be scored: a run directory, or a row of a committed leaderboard."""

    @property
    def key(self) -> str:
        """The run's key."""

    @property
    def spec(self) -> RunSpec:
        """What was run."""

    @property
    def label(self) -> str:
        """The method's name for people."""

    @property
    def measured(self) -> dict[str, Any]:
        """Numbers that do not follow from predictions."""

    @property
    def finished(self) -> str:
        """When it finished, ISO 8601."""

    def predictions(self) -> pd.DataFrame:
        """One row a test image."""


def score(runs: Iterable[Scorable], suite: str) -> pd.DataFrame:
    """Measure runs.

    Parameters
    ----------
    runs
        Finished runs of one suite.  Zero-shot runs among them, of the same task, backbone and protocol, give the
        measures that compare with before; without one these measures are absent.
    suite
        The suite's name, for the column.

    Returns
    -------
    DataFrame
        One row a run and metric: key, suite, task, forget (number of domains), method, seed, protocol, metric, value,
        n (images); fractions are 0..1.
    """
    runs = list(runs)
    before = {_reference_key(run.spec): run for run in runs if run.spec.method.name == ZERO_SHOT}
    loaded: dict[tuple, pd.DataFrame] = {}
    rows: list[tuple] = []
    for run in runs:
        spec = run.spec
        reference = _reference_key(spec)
        if reference in before and reference not in loaded:
            loaded[reference] = before[reference].predictions()
        found = measure(run.predictions(), len(spec.task.classes), loaded.get(reference))
        found |= _stored(run)
        head = (run.key, suite, spec.task.name, len(spec.task.forget), run.label, spec.seed, spec.protocol)
        rows += [(*head, metric, value, n) for metric, (value, n) in found.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def domain_probe(run: Any) -> float:
    """Return a run's domain-probe accuracy from its stored features; NaN where it has none."""
    features, rows = run.features()
    domains = run.predictions()["domain"].to_numpy().astype(str)[rows]
    return domain_probe_accuracy(features, domains) if len(set(domains)) > 1 else float("nan")


def _stored(run: Scorable) -> dict[str, tuple[float, int]]:
    """Measures that were taken while running, and the probe, which needs features rather than predictions."""
    values = {name: run.measured.get(name) for name in ("trainable_parameters", "seconds", "peak_memory_mb")}
    values["domain_probe"] = run.measured["domain_probe"] if "domain_probe" in run.measured else domain_probe(run)
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float | np.floating)}
    return {name: (float(value), 1) for name, value in numbers.items() if np.isfinite(value)}


def _reference_key(spec: RunSpec) -> tuple:
    task = spec.task
    # Zero-shot answers do not depend on the forget set, shots or seed.
    return (task.dataset, task.data_hash, task.classes, task.template, spec.backbone.weights_hash, spec.protocol)
