"""How to run one: build the problem, let the method work, evaluate, and store predictions."""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save_file

from adu_bench import __version__
from adu_bench.clip.backbone import Backbone
from adu_bench.clip.loading import load_backbone
from adu_bench.core.hashing import digest
from adu_bench.core.memory import peak_memory_mb
from adu_bench.core.seeds import derive
from adu_bench.core.specs import RunSpec, Task
from adu_bench.data.decode import DECODING
from adu_bench.data.index import task_rows
from adu_bench.data.parallel import Progress
from adu_bench.data.rows import Block, RowCache
from adu_bench.data.sampler import draw_shots
from adu_bench.data.sources import open_source
from adu_bench.registry import load_class
from adu_bench.runner.batches import EVALUATION_BATCH, in_batches
from adu_bench.runner.decoding import needed, of_pool
from adu_bench.runner.evaluate import Images, predict, to_device
from adu_bench.runner.plan import PlannedRun
from adu_bench.store import Store
from adu_bench.training.problem import Batch, Problem

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
    data = TaskData(spec.task, load_shared_backbone(planned.backbone, device), report)
    data.prepare(spec.seed)
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
    """The pictures of one task, prepared for one backbone as far as they are asked for.

    Parameters
    ----------
    task
        Domains, classes and data set.
    backbone
        Says how pictures are resized, and encodes them once for frozen features.
    report
        Told of pictures that are decoded or encoded.
    """

    def __init__(self, task: Task, backbone: Backbone, report: Report = lambda share, text: None) -> None:
        self.task, self.backbone, self.report = task, backbone, report
        source = open_source(task.dataset)
        self.rows = task_rows(source.index, task.domains, task.classes)
        self.pictures = source.pictures(backbone.preprocessing)
        self.features = frozen_features(backbone)
        self._drawn: dict[int, np.ndarray] = {}

    def prepare(self, seed: int) -> None:
        """Decode and encode what a run needs and the cache lacks, so that nothing of it is left to a timed part.

        Raises
        ------
        UserError
            If pictures cannot be used; it names all of them.
        """
        self._ensure(needed(self.rows, self._shots(seed)))

    def images(self, pool: str) -> Images:
        """Return the images of one pool."""
        return self._images(of_pool(self.rows, pool))

    def problem(self, spec: RunSpec, record: Callable[[dict[str, float]], None], report: Report) -> Problem:
        """Build what the method sees: shots and validation images, and nothing of the test pool."""
        return Problem(
            task=spec.task,
            backbone=self.backbone,
            train=self._batch(self._images(self._shots(spec.seed))),
            validation=self._batch(self.images("validation")),
            training=spec.training,
            rng=torch.Generator().manual_seed(derive(spec.seed, "batches")),
            record=record,
            report=report,
        )

    def _shots(self, seed: int) -> np.ndarray:
        if seed not in self._drawn:
            self._drawn[seed] = draw_shots(self.rows, self.task, seed)
        return self._drawn[seed]

    def _images(self, positions: np.ndarray) -> Images:
        keys = self._ensure(positions)
        rows = self.rows.loc[positions]
        labels = pd.Categorical(rows["label"], categories=self.task.classes).codes.astype(np.int64)
        domains = rows["domain"].to_numpy(object)
        return Images(
            pixels=self.pictures.rows,
            rows=self.pictures.places(positions),
            names=rows["image"].to_numpy(object),
            domains=domains,
            labels=labels,
            forget=np.isin(domains.astype(str), self.task.forget),
            frozen=self.features.rows[self.features.places(keys)],
        )

    def _ensure(self, positions: np.ndarray) -> np.ndarray:
        """Decode and encode pictures where the cache lacks them; return the keys of their features."""
        self.pictures.ensure(positions, self._progress("decoding"))
        keys = self.pictures.keys(positions)
        self.features.ensure(keys, lambda which: self._encoded(positions[which], which), self._progress("encoding"))
        return keys

    def _encoded(self, positions: np.ndarray, which: np.ndarray) -> Iterable[Block]:
        """Return the frozen features of pictures, batch by batch."""
        device, places = self.backbone.device, self.pictures.places(positions)

        def one(part: slice) -> Block:
            images = to_device(self.pictures.rows, places[part], device)
            return which[part], self.backbone.image_features(images).cpu().numpy()

        return in_batches(len(which), EVALUATION_BATCH[device.type], device, one)

    def _progress(self, doing: str) -> Progress:
        return lambda done, total: self.report(0.0, f"{doing} {done:,}/{total:,} pictures")

    def _batch(self, images: Images) -> Batch:
        device = self.backbone.device
        domains = pd.Categorical(images.domains, categories=self.task.domains).codes.astype(np.int64)
        return Batch(
            images=to_device(images.pixels, images.rows, device),
            labels=torch.from_numpy(images.labels).to(device),
            domains=torch.from_numpy(domains).to(device),
            forget=torch.from_numpy(images.forget).to(device),
            frozen=torch.from_numpy(images.frozen).to(device),
        )


def frozen_features(backbone: Backbone) -> RowCache:
    """Return the cache of a backbone's unit features, float32, (M, D)."""
    settings = [backbone.mean.flatten().tolist(), backbone.std.flatten().tolist(), asdict(backbone.preprocessing)]
    name = re.sub(r"[^\w.-]+", "_", backbone.spec.name)
    return RowCache(
        f"features/{name}-{digest([asdict(backbone.spec), settings, DECODING])}",
        (_feature_width(backbone),),
        np.float32,
        {"rows": "unit features of the untouched backbone", "backbone": asdict(backbone.spec)},
    )


@lru_cache(maxsize=2)
def _feature_width(backbone: Backbone) -> int:
    side = backbone.preprocessing.size
    return backbone.image_features(torch.zeros(1, 3, side, side, device=backbone.device)).shape[1]


def _save_features(path: Path, features: np.ndarray, task: Task) -> None:
    """Keep the same test images of a task for every method and seed."""
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
        "device": torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
    }
