"""Execute one run: train the classifier, predict, and store the results."""

from __future__ import annotations

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from adu_bench import __version__
from adu_bench.clip.files import save_classifier
from adu_bench.clip.precision import described
from adu_bench.core.memory import peak_memory_mb
from adu_bench.core.progress import Progress, silent
from adu_bench.core.seeds import derive
from adu_bench.core.specs import Task
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.evaluate import predict
from adu_bench.runner.guard import unchanged
from adu_bench.runner.plan import PlannedRun
from adu_bench.runner.task_data import TaskData, load_shared_backbone
from adu_bench.runner.tracking import tracked
from adu_bench.runner.unlearn import unlearn
from adu_bench.store import Store

KEPT_FEATURES = 640
"""Test images whose features are kept for probes and t-SNE."""


def execute(planned: PlannedRun, store: Store, device: str, report: Progress = silent, log: str = "") -> None:
    """Execute one run and commit it to the store; the caller holds the store's lock for its key.

    Parameters
    ----------
    planned
        The run.
    store
        The store of the results.
    device
        ``cpu`` or ``cuda``.
    report
        Called with the steps of the run.
    log
        The tracker that what the method logs is sent to as well; see `adu_bench.runner.tracking`.

    Raises
    ------
    RunFailed
        If training or evaluation diverged, the method gave up, or it changed the shared backbone.
    UserError
        If images, weights or the method's file cannot be used.
    """
    spec = planned.spec
    report("loading", 0, 1)
    data = TaskData(spec.task, load_shared_backbone(planned.backbone, device), spec.training.evaluation, report)
    data.prepare(spec.seed)
    with (
        store.begin(spec.key) as folder,
        (folder / "train.jsonl").open("w", encoding="utf-8") as entries,
        tracked(log, planned, store.root) as send,
    ):

        def record(values: dict[str, float]) -> None:
            print(json.dumps(values), file=entries, flush=True)
            send(values)

        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with unchanged(data.backbone):
            made = unlearn(
                planned.source.locate(),
                planned.class_name,
                spec,
                data,
                record=record,
                report=report,
            )
            start = time.perf_counter()
            predictions, features = predict(
                made.classifier, data.images("test"), EVALUATION_BATCH[device], spec.training.evaluation
            )
        evaluated = time.perf_counter() - start
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        _save_features(folder / "features.safetensors", features, spec.task)
        save_classifier(made.classifier, folder / "method.safetensors")
        entries.close()
        store.finish(
            folder,
            spec,
            planned.label,
            environment=_environment(device),
            timings={"train_s": round(made.seconds, 3), "evaluate_s": round(evaluated, 3)},
            measured={
                "seconds": round(made.seconds, 3),
                "trainable_parameters": sum(parameter.numel() for parameter in made.classifier.trainable()),
                "image_passes": made.problem.image_passes,
                "peak_memory_mb": round(_peak_memory_mb(device), 1),
            },
        )


def _save_features(path: Path, features: np.ndarray, task: Task) -> None:
    """Save the features of test images that are the same for every method and seed of a task."""
    rng = np.random.default_rng(derive(0, "features", task.data_hash))
    rows = np.sort(rng.permutation(len(features))[:KEPT_FEATURES])
    save_file({"features": features[rows].astype(np.float16), "rows": rows.astype(np.int64)}, path)


def _peak_memory_mb(device: str) -> float:
    """Peak memory: of the device on a GPU, of the worker process so far on a CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_memory_mb()


def _environment(device: str) -> dict[str, str]:
    return {
        "adu_bench": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "open_clip": version("open_clip_torch"),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        **described(torch.device(device)),
    }
