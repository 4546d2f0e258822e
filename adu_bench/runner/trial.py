"""One trial of a hyper-parameter search as a job for an executor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adu_bench.core.errors import RunFailed
from adu_bench.core.progress import Progress
from adu_bench.core.specs import RunSpec, Value
from adu_bench.metrics.measures import measure
from adu_bench.runner.executors.interface import State

_SCORES = ("h", "mem", "for")


@dataclass(frozen=True)
class TrialJob:
    """Run a method with some fields on a few tasks, and append its scores to a log per pool.

    Parameters
    ----------
    label
        The method.
    fields
        The drawn fields.
    specs
        One per task; nothing of them is stored but the scores.
    path, class_name, backbone
        As in `adu_bench.runner.plan.PlannedRun`.
    logs
        The file of each pool to score: ``validation``, and perhaps ``test``.
    """

    label: str
    fields: Mapping[str, Value]
    specs: tuple[RunSpec, ...]
    path: Path
    class_name: str
    backbone: str
    logs: Mapping[str, Path]

    @property
    def key(self) -> str:
        """The trial's name in the logs."""
        return self.specs[0].key

    @property
    def title(self) -> str:
        """Method and fields."""
        return f"{self.label} {', '.join(f'{name}={value:g}' for name, value in self.fields.items()) or 'defaults'}"

    def missing(self) -> list[str]:
        """Return the pools whose log lacks the trial."""
        return [pool for pool, log in self.logs.items() if self.key not in read_log(log)]

    def run(self, device: str, progress: Progress) -> tuple[State, str]:
        """Score the trial."""
        for pool, scores in self._scores(self.missing(), device, progress).items():
            self.logs[pool].parent.mkdir(parents=True, exist_ok=True)
            with self.logs[pool].open("a", encoding="utf-8") as log:
                print(json.dumps({"key": self.key, "fields": dict(self.fields), **scores}), file=log)
        return "done", f"H {100 * read_log(self.logs['validation'])[self.key]['h']:.1f}"

    def fail(self, kind: str, reason: str, traceback: str = "") -> None:
        """Store nothing: the next call tries again."""

    def _scores(self, pools: Sequence[str], device: str, progress: Progress) -> dict[str, dict[str, Any]]:
        found: dict[str, list[dict[str, float]]] = {pool: [] for pool in pools}
        for number, spec in enumerate(self.specs):
            progress(f"task {number + 1} of {len(self.specs)}", 0, 1)
            try:
                for pool, scores in self._one(spec, pools, device, progress).items():
                    found[pool].append(scores)
            except RunFailed as error:
                return {pool: {**dict.fromkeys(_SCORES, 0.0), "failed": str(error)} for pool in pools}
        return {
            pool: {name: round(float(np.mean([one[name] for one in scores])), 6) for name in _SCORES}
            for pool, scores in found.items()
        }

    def _one(self, spec: RunSpec, pools: Sequence[str], device: str, progress: Progress) -> dict[str, dict[str, float]]:
        from adu_bench.runner.batches import EVALUATION_BATCH  # these import torch
        from adu_bench.runner.evaluate import predict
        from adu_bench.runner.task_data import TaskData, load_shared_backbone
        from adu_bench.runner.unlearn import unlearn

        precision = spec.training.evaluation
        data = TaskData(spec.task, load_shared_backbone(self.backbone, device), precision, progress)
        classifier = unlearn(self.path, self.class_name, spec, data, report=progress).classifier
        scores = {}
        for pool in pools:
            frame, _ = predict(classifier, data.images(pool), EVALUATION_BATCH[device], precision)
            measures = measure(frame, len(spec.task.classes))
            scores[pool] = {name: measures[name][0] for name in _SCORES}
        return scores


def read_log(path: Path) -> dict[str, dict[str, Any]]:
    """Return the finished trials of a log by key."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {record["key"]: record for record in map(json.loads, lines)}
