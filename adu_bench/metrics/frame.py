"""All metrics of many runs as one long table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pandas as pd

from adu_bench.core.specs import RunSpec
from adu_bench.metrics.evidence import Evidence
from adu_bench.metrics.measures import measure
from adu_bench.metrics.probe import domain_probe_accuracy

COLUMNS = ("key", "suite", "task", "forget", "method", "seed", "protocol", "metric", "value", "n")
ZERO_SHOT = "zero-shot"
"""The method whose predictions show what there was to forget."""


class Scorable(Protocol):
    """A finished run whose metrics can be computed: a run directory, or a run of a committed row."""

    @property
    def key(self) -> str:
        """The run's key."""

    @property
    def spec(self) -> RunSpec:
        """The spec of the run."""

    @property
    def label(self) -> str:
        """The method's label."""

    @property
    def measured(self) -> dict[str, Any]:
        """Numbers that do not follow from predictions."""

    @property
    def finished(self) -> str:
        """When it finished, ISO 8601."""

    @property
    def source(self) -> str:
        """A text that changes with what its metrics are computed from; empty where there is none."""

    def predictions(self) -> pd.DataFrame:
        """Return one row per test image."""


def score(
    runs: Iterable[Scorable], suite: str, also: Callable[[Scorable, pd.DataFrame], None] | None = None
) -> pd.DataFrame:
    """Compute all metrics of runs.

    Parameters
    ----------
    runs
        Finished runs of one suite.  Zero-shot runs among them, of the same classes, backbone and protocol, are needed
        for the metrics that compare with before; without one these metrics are absent.
    suite
        The suite's name, for the column.
    also
        Called with each run and its predictions, for what else is to be computed from them.

    Returns
    -------
    DataFrame
        One row per run and metric: key, suite, task, forget (number of domains), method, seed, protocol, metric, value,
        n (images); fractions are 0..1.
    """
    runs = list(runs)
    before = {_reference_key(run.spec): run for run in runs if run.spec.method.name == ZERO_SHOT}
    loaded: dict[tuple, Evidence] = {}
    rows: list[tuple] = []
    for run in runs:
        spec = run.spec
        reference = _reference_key(spec)
        if reference in before and reference not in loaded:
            loaded[reference] = Evidence(before[reference].predictions(), len(spec.task.classes))
        predictions = run.predictions()
        if also is not None:
            also(run, predictions)
        found = measure(predictions, len(spec.task.classes), loaded.get(reference), with_probe(run))
        head = (run.key, suite, spec.task.name, len(spec.task.forget), run.label, spec.seed, spec.protocol)
        rows += [(*head, metric, value, n) for metric, (value, n) in found.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def with_probe(run: Any) -> dict[str, Any]:
    """Return what was measured during a run, and its domain probe, which is computed from stored features.

    The probe is an accuracy, 0..1, rounded to six decimals; None where the run has no features of two domains.
    """
    if "domain_probe" in run.measured:
        return run.measured
    features, rows = run.features()
    domains = run.predictions()["domain"].to_numpy().astype(str)[rows]
    probe = round(domain_probe_accuracy(features, domains), 6) if len(set(domains)) > 1 else None
    return run.measured | {"domain_probe": probe}


def _reference_key(spec: RunSpec) -> tuple:
    task = spec.task
    # Zero-shot answers do not depend on the forget set, shots or seed.
    return (task.dataset, task.data_hash, task.classes, task.template, spec.backbone.weights_hash, spec.protocol)
