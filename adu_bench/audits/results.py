"""Results of audits: artefacts beside the runs, and rows of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from adu_bench.audits.audit import Measure
from adu_bench.audits.catalogue import AuditEntry
from adu_bench.core.specs import RunSpec
from adu_bench.store.artefacts import Artefact, artefact_path, read_artefact, with_artefacts, write_artefact

COLUMNS = ("key", "suite", "task", "forget", "method", "seed", "audit", "metric", "value", "n")


def write_result(root: Path, key: str, entry: AuditEntry, measures: Sequence[Measure], seconds: float) -> Path:
    """Store the result of an audit of a run.

    Parameters
    ----------
    root, key
        The folder of the runs, and the run's key.
    entry
        The audit.
    measures
        What it found.
    seconds
        How long it took.

    Raises
    ------
    ValueError
        If the card does not declare a metric, a metric occurs twice, or a value is not finite.
    """
    validate(entry, measures)
    names = [measure.metric for measure in measures]
    tensors = {
        "values": np.array([measure.value for measure in measures], np.float64),
        "counts": np.array([measure.count for measure in measures], np.int64),
    }
    info = {"audit": entry.name, "code": entry.code, "metrics": names, "seconds": round(seconds, 3)}
    return write_artefact(root, key, _name(entry), Artefact(tensors, info))


def validate(entry: AuditEntry, measures: Sequence[Measure]) -> None:
    """Refuse results that cannot be stored.

    Raises
    ------
    ValueError
        If the card does not declare a metric, a metric occurs twice, or a value is not finite.
    """
    names = [measure.metric for measure in measures]
    for measure in measures:
        try:
            entry.card.metric(measure.metric)
        except KeyError:
            raise ValueError(f"the card of {entry.name} does not declare the metric '{measure.metric}'") from None
        if not np.isfinite(measure.value):
            raise ValueError(f"the metric '{measure.metric}' of {entry.name} is {measure.value}")
    if len(set(names)) < len(names):
        raise ValueError(f"{entry.name} gave a metric twice")


def read_result(root: Path, key: str, entry: AuditEntry) -> list[Measure] | None:
    """Return the result of an audit of a run; None if there is none, or the audit's code was changed since.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    found = read_artefact(root, key, _name(entry))
    if found is None or found.info.get("code") != entry.code:
        return None
    values = zip(found.info["metrics"], found.tensors["values"], found.tensors["counts"], strict=True)
    return [Measure(name, float(value), int(count)) for name, value, count in values]


def missing(root: Path, spec: RunSpec, entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    """Return the audits that apply to a run and of which it has no current result."""
    return [entry for entry in entries if entry.card.applies(spec.task) and read_result(root, spec.key, entry) is None]


def audit_rows(
    root: Path, suite: str, runs: Iterable[tuple[str, RunSpec]], entries: Sequence[AuditEntry]
) -> pd.DataFrame:
    """Return all current results as one long table.

    Parameters
    ----------
    root
        The folder of the runs.
    suite
        The suite's name, for the column.
    runs, entries
        Which runs, each by its name and specification, and which audits.

    Returns
    -------
    DataFrame
        One row per run, audit and metric: key, suite, task, forget (number of domains), method (the
        run's name), seed, audit, metric, value, n (images); shares and accuracies are 0..1.
    """
    rows = []
    examined = with_artefacts(root)
    for name, spec in runs:
        if spec.key not in examined:
            continue
        head = (spec.key, suite, spec.task.name, len(spec.task.forget), name, spec.seed)
        for entry in entries:
            for measure in read_result(root, spec.key, entry) or ():
                rows.append((*head, entry.name, measure.metric, measure.value, measure.count))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def result_path(root: Path, key: str, entry: AuditEntry) -> Path:
    """Return the file of an audit's result; it need not exist."""
    return artefact_path(root, key, _name(entry))


def _name(entry: AuditEntry) -> str:
    return f"audit-{entry.name}"
