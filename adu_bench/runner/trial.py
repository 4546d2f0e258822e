"""One run of a hyper-parameter search as a job for an executor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adu_bench.core.errors import RunFailed
from adu_bench.core.progress import Progress
from adu_bench.core.specs import RunSpec, Value
from adu_bench.metrics.measures import measure
from adu_bench.registry import format_value
from adu_bench.runner.executors.interface import State

_SCORES = ("h", "mem", "for")


@dataclass(frozen=True)
class TrialJob:
    """Run a method with the fields of a trial on one task with one seed, and append its scores to a log per pool.

    Parameters
    ----------
    label
        The method.
    trial
        The trial's number; 0 has the method's defaults.
    fields
        The drawn fields.
    spec
        The run; nothing of it is stored but the scores.
    path, class_name, backbone
        As in `adu_bench.runner.plan.PlannedRun`.
    logs
        The file of each pool to score: ``validation``, and perhaps ``test``.
    """

    label: str
    trial: int
    fields: Mapping[str, Value]
    spec: RunSpec
    path: Path
    class_name: str
    backbone: str
    logs: Mapping[str, Path]

    @property
    def title(self) -> str:
        """Method, fields, task and seed."""
        fields = ", ".join(f"{name}={format_value(value)}" for name, value in self.fields.items()) or "defaults"
        return f"{self.label} {fields}, forget {self.spec.task.name}, seed {self.spec.seed}"

    @property
    def family(self) -> tuple:
        """What runs that are trained together have in common: the method's code, the backbone and the precision."""
        spec = self.spec
        return self.path, self.class_name, self.backbone, spec.training

    @property
    def finished(self) -> bool:
        """Whether the run is in all logs."""
        return not self.missing()

    def missing(self) -> list[str]:
        """Return the pools whose log lacks the run."""
        return [pool for pool, log in self.logs.items() if self.spec.key not in read_log(log)]

    def run(self, device: str, progress: Progress) -> tuple[State, str]:
        """Score the run; a training that diverges has an H of 0."""
        pools = self.missing()
        try:
            found = self._scores(pools, device, progress)
        except RunFailed as error:
            found = {pool: {**dict.fromkeys(_SCORES, 0.0), "failed": str(error)} for pool in pools}
        head = {"key": self.spec.key, "trial": self.trial, "fields": dict(self.fields)}
        head |= {"task": self.spec.task.name, "seed": self.spec.seed}
        for pool, scores in found.items():
            _append(self.logs[pool], {**head, **scores})
        return "done", f"H {100 * read_log(self.logs['validation'])[self.spec.key]['h']:.1f}"

    def fail(self, kind: str, reason: str, traceback: str = "") -> None:
        """Store nothing: the next call tries again."""

    def _scores(self, pools: Sequence[str], device: str, progress: Progress) -> dict[str, dict[str, Any]]:
        from adu_bench.runner.batches import EVALUATION_BATCH  # these import torch
        from adu_bench.runner.evaluate import predict
        from adu_bench.runner.guard import unchanged
        from adu_bench.runner.task_data import TaskData, load_shared_backbone
        from adu_bench.runner.unlearn import unlearn

        spec = self.spec
        precision = spec.training.evaluation
        data = TaskData(spec.task, load_shared_backbone(self.backbone, device), precision, progress)
        scores = {}
        with unchanged(data.backbone):
            classifier = unlearn(self.path, self.class_name, spec, data, report=progress).classifier
            for pool in pools:
                frame, _ = predict(classifier, data.images(pool), EVALUATION_BATCH[device], precision)
                measures = measure(frame, len(spec.task.classes))
                scores[pool] = {name: round(measures[name][0], 6) for name in _SCORES}
        return scores


def read_log(path: Path) -> dict[str, dict[str, Any]]:
    """Return the finished runs of a log by key; lines that are not whole, or of another kind, are left out."""
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        # A number of too many digits is a ValueError, and deep nesting a RecursionError.
        with suppress(ValueError, RecursionError):
            records.append(json.loads(line))
    return {record["key"]: record for record in records if _is_run(record)}


def _is_run(record: object) -> bool:
    if not isinstance(record, dict):
        return False
    return isinstance(record.get("key"), str) and isinstance(record.get("h"), int | float)


def _append(path: Path, record: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    interrupted = path.is_file() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as log:
        log.write(("\n" if interrupted else "") + json.dumps(record) + "\n")
