"""How to run one: build the problem, let the method work, evaluate, and store predictions."""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save_file

from adu_bench import __version__
from adu_bench.clip.backbone import Backbone, load_backbone
from adu_bench.core.hashing import digest
from adu_bench.core.seeds import derive
from adu_bench.core.specs import RunSpec, Task
from adu_bench.data.cache import cached, prepared
from adu_bench.data.index import task_rows
from adu_bench.data.sampler import draw_shots
from adu_bench.data.sources import open_source
from adu_bench.registry import load_class
from adu_bench.runner.evaluate import Images, predict, to_device
from adu_bench.runner.plan import PlannedRun
from adu_bench.store import Store
from adu_bench.training.problem import Batch, Problem

EVALUATION_BATCH = {"cpu": 128, "cuda": 1024}
KEPT_FEATURES = 640
"""Test images whose features are kept for probes and t-SNE."""

Report = Callable[[float, str], None]


def execute(planned: PlannedRun, store: Store, device: str, report: Report = lambda share, text: None) -> None:
    """Execute one run and commit it to the store; the caller holds the store's lock for its key.

    Parameters
    ----------
    planned
        What to run.
    store
        Where it goes.
    device
        ``cpu`` or ``cuda``.
    report
        Called with the share done (0..1) and a few words.

    Raises
    ------
    RunFailed
        If training or evaluation diverged, or the method gave up.
    UserError
        If pictures, weights or the method's file cannot be used.
    """
    spec = planned.spec
    report(0.0, "loading")
    data = TaskData(spec.task, load_shared_backbone(planned.backbone, device))
    method = load_class(planned.path, planned.class_name, spec.method.source_hash)(**dict(spec.method.fields))
    with store.begin(spec.key) as folder, (folder / "train.jsonl").open("w", encoding="utf-8") as log:
        problem = data.problem(
            spec, record=lambda values: print(json.dumps(values), file=log, flush=True), report=report
        )
        torch.manual_seed(derive(spec.seed, "method"))
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        classifier = method.unlearn(problem).eval()
        trained = time.perf_counter()
        test = data.images("test")
        predictions, features = predict(classifier, test, EVALUATION_BATCH[device])
        evaluated = time.perf_counter()
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        _save_features(folder / "features.safetensors", features, spec.task)
        classifier.save(folder / "method.safetensors")
        log.close()
        store.finish(
            folder,
            spec,
            planned.label,
            environment=_environment(device),
            timings={"train_s": round(trained - start, 3), "evaluate_s": round(evaluated - trained, 3)},
            measured={
                "seconds": round(trained - start, 3),
                "trainable_parameters": sum(parameter.numel() for parameter in classifier.trainable()),
                "image_passes": problem.image_passes,
                "peak_memory_mb": round(_peak_memory_mb(device), 1),
            },
        )
    report(1.0, "done")


@lru_cache(maxsize=2)
def load_shared_backbone(name: str, device: str) -> Backbone:
    """Load a backbone once for all runs of this process."""
    return load_backbone(name, device)


class TaskData:
    """The pictures of one task, prepared for one backbone.

    Parameters
    ----------
    task
        Domains, classes and data set.
    backbone
        Says how pictures are resized, and encodes them once for frozen features.
    """

    def __init__(self, task: Task, backbone: Backbone) -> None:
        self.task, self.backbone = task, backbone
        source = open_source(task.dataset)
        self.rows = task_rows(source.index, task.domains, task.classes)
        self.pixels = prepared(source.pixels, source.identity, backbone.recipe)
        name = digest([source.identity, task.data_hash, backbone.spec.weights_hash])
        self.frozen = cached(f"frozen/{name}", self._frozen_features)

    def images(self, pool: str) -> Images:
        """Return the images of one pool."""
        return self._images(self.rows.index.to_numpy()[(self.rows["pool"] == pool).to_numpy()])

    def problem(self, spec: RunSpec, record: Callable[[dict[str, float]], None], report: Report) -> Problem:
        """Build what the method sees: shots and validation images, and nothing of the test pool."""
        return Problem(
            task=spec.task,
            backbone=self.backbone,
            train=self._batch(self._images(draw_shots(self.rows, spec.task, spec.seed))),
            validation=self._batch(self.images("validation")),
            training=spec.training,
            rng=torch.Generator().manual_seed(derive(spec.seed, "batches")),
            record=record,
            report=report,
        )

    def _images(self, positions: np.ndarray) -> Images:
        rows = self.rows.loc[positions]
        labels = pd.Categorical(rows["label"], categories=self.task.classes).codes.astype(np.int64)
        domains = rows["domain"].to_numpy(object)
        within = np.searchsorted(self.rows.index.to_numpy(), positions)
        return Images(
            pixels=self.pixels,
            rows=positions,
            names=rows["image"].to_numpy(object),
            domains=domains,
            labels=labels,
            forget=np.isin(domains.astype(str), self.task.forget),
            frozen=np.asarray(self.frozen[within]),
        )

    def _batch(self, images: Images) -> Batch:
        device = self.backbone.device
        domains = pd.Categorical(images.domains, categories=self.task.domains).codes.astype(np.int64)
        return Batch(
            images=to_device(self.pixels, images.rows, device),
            labels=torch.from_numpy(images.labels).to(device),
            domains=torch.from_numpy(domains).to(device),
            forget=torch.from_numpy(images.forget).to(device),
            frozen=torch.from_numpy(images.frozen).to(device),
        )

    def _frozen_features(self) -> np.ndarray:
        """Encode the task's pictures once for all runs; float32, (rows of the task, D)."""
        batch = EVALUATION_BATCH[self.backbone.device.type]
        positions = self.rows.index.to_numpy()
        parts = [positions[start : start + batch] for start in range(0, len(positions), batch)]
        encoded = [self.backbone.image_features(to_device(self.pixels, part, self.backbone.device)) for part in parts]
        return torch.cat(encoded).cpu().numpy()


def _save_features(path: Path, features: np.ndarray, task: Task) -> None:
    """Keep the same test images of a task for every method and seed."""
    rng = np.random.default_rng(derive(0, "features", task.data_hash))
    rows = np.sort(rng.permutation(len(features))[:KEPT_FEATURES])
    save_file({"features": features[rows].astype(np.float16), "rows": rows.astype(np.int64)}, path)


def _peak_memory_mb(device: str) -> float:
    """Peak memory: of the device on a GPU, of the worker process so far on a CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _environment(device: str) -> dict[str, str]:
    return {
        "adu_bench": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "open_clip": version("open_clip_torch"),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
    }
