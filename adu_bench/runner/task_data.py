"""The images and frozen features of one task, prepared for one backbone on demand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import torch

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.loading import load_backbone
from adu_bench.clip.precision import computing
from adu_bench.clip.transfer import upload, upload_images
from adu_bench.core.hashing import digest
from adu_bench.core.progress import Progress, silent
from adu_bench.core.seeds import derive
from adu_bench.core.specs import COMPLETE, RunSpec, Task
from adu_bench.data.decode import DECODING
from adu_bench.data.index import task_rows
from adu_bench.data.rows import Block, RowCache
from adu_bench.data.sampler import draw_shots
from adu_bench.data.sources import open_source
from adu_bench.data.supervision import supervised
from adu_bench.runner.batches import EVALUATION_BATCH, in_batches
from adu_bench.runner.decoding import needed, of_pool
from adu_bench.runner.evaluate import Images
from adu_bench.training.problem import Batch, FullImages, Problem


@lru_cache(maxsize=2)
def load_shared_backbone(name: str, device: str) -> Backbone:
    """Load a backbone once for all runs of this process."""
    return load_backbone(name, device)


class TaskData:
    """The images of one task, prepared for one backbone on demand.

    Parameters
    ----------
    task
        Domains, classes and data set.
    backbone
        Gives the preprocessing of images, and encodes them once for frozen features.
    precision
        The precision of frozen features, one of `adu_bench.core.specs.PRECISIONS`.
    report
        Called while images are decoded or encoded.
    """

    def __init__(self, task: Task, backbone: Backbone, precision: str = "fp32", report: Progress = silent) -> None:
        self.task, self.backbone, self.precision, self.report = task, backbone, precision, report
        source = open_source(task.dataset)
        self.rows = task_rows(source.index, task.domains, task.classes)
        self.preprocessed = source.images(backbone.preprocessing)
        self.training_images = source.training_images(backbone.preprocessing)
        self.features = frozen_features(backbone, precision)
        self._drawn: dict[int, np.ndarray] = {}

    def prepare(self, seed: int) -> None:
        """Decode and encode all images that a run needs and the cache lacks, so that no timed part includes this.

        Raises
        ------
        UserError
            If images cannot be used; it names all of them.
        """
        shots = self._shots(seed)
        self._ensure(needed(self.rows, shots))
        self.training_images.ensure(shots, partial(self.report, "decoding images"))

    def images(self, pool: str) -> Images:
        """Return the images of one pool."""
        return self._images(of_pool(self.rows, pool))

    def problem(
        self, spec: RunSpec, record: Callable[[dict[str, float]], None] = lambda values: None, report: Progress = silent
    ) -> Problem:
        """Build what the method sees: the few-shot images, and none of the validation and test images."""
        shots, domains = self._given(spec)
        return Problem(
            task=spec.task,
            backbone=self.backbone,
            train=self._batch(self._images(shots), domains, spec.task),
            full=self._full(shots),
            training=spec.training,
            rng=torch.Generator().manual_seed(derive(spec.seed, "batches")),
            record=record,
            report=report,
        )

    def _given(self, spec: RunSpec) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of the few-shot images that the method is given, and their domain indices."""
        shots = self._shots(spec.seed)
        domains = _codes(self.rows.loc[shots, "domain"], self.task.domains)
        if spec.supervision == COMPLETE:
            return shots, domains
        images = self._images(shots)
        kept, given = supervised(
            spec.task,
            spec.supervision,
            spec.seed,
            domains=domains,
            labels=images.labels,
            features=images.frozen,
            words=lambda: self._domain_words(spec.supervision.template),
        )
        return shots[kept], given

    @torch.inference_mode()
    def _domain_words(self, template: str) -> np.ndarray:
        """Return unit features of the domains' names, float32, (K, D)."""
        return Classifier(self.backbone, self.task.domains, template).eval().text_features().cpu().numpy()

    def _full(self, positions: np.ndarray) -> FullImages:
        images = self.training_images
        images.ensure(positions, partial(self.report, "decoding images"))
        return FullImages(lambda places: images.take(positions[places])[0], torch.from_numpy(images.extents(positions)))

    def _shots(self, seed: int) -> np.ndarray:
        if seed not in self._drawn:
            self._drawn[seed] = draw_shots(self.rows, self.task, seed)
        return self._drawn[seed]

    def _images(self, positions: np.ndarray) -> Images:
        keys = self._ensure(positions)
        rows = self.rows.loc[positions]
        labels = _codes(rows["label"], self.task.classes)
        domains = rows["domain"].to_numpy(object)
        return Images(
            pixels=self.preprocessed.rows,
            rows=self.preprocessed.places(positions),
            names=rows["image"].to_numpy(object),
            domains=domains,
            labels=labels,
            forget=np.isin(domains.astype(str), self.task.forget),
            frozen=self.features.rows[self.features.places(keys)],
        )

    def _ensure(self, positions: np.ndarray) -> np.ndarray:
        """Decode and encode images that the cache lacks; return the keys of their features."""
        self.preprocessed.ensure(positions, partial(self.report, "decoding images"))
        keys = self.preprocessed.keys(positions)
        self.features.ensure(
            keys, lambda which: self._encoded(positions[which], which), partial(self.report, "encoding images")
        )
        return keys

    def _encoded(self, positions: np.ndarray, which: np.ndarray) -> Iterable[Block]:
        """Return the frozen features of images, batch by batch."""
        device, places = self.backbone.device, self.preprocessed.places(positions)

        def one(part: slice) -> Block:
            images = upload_images(self.preprocessed.rows[places[part]], device)
            with computing(device, self.precision):
                return which[part], self.backbone.image_features(images).cpu().numpy()

        return in_batches(len(which), EVALUATION_BATCH[device.type], device, one)

    def _batch(self, images: Images, domains: np.ndarray, task: Task) -> Batch:
        """Return images with the domain indices (N,) that a method sees; they decide what is to be forgotten."""
        device = self.backbone.device
        forget = np.isin(domains, [task.domains.index(domain) for domain in task.forget])
        return Batch(
            lambda: upload_images(images.pixels[images.rows], device),
            labels=upload(images.labels, device),
            domains=upload(domains, device),
            forget=upload(forget, device),
            frozen=upload(images.frozen, device),
        )


def _codes(values: Iterable, categories: tuple[str, ...]) -> np.ndarray:
    """Return the positions of values among categories, int64, (N,)."""
    return pd.Categorical(values, categories=categories).codes.astype(np.int64)


def frozen_features(backbone: Backbone, precision: str) -> RowCache:
    """Return the cache of a backbone's unit features, float32, (M, D), for its kind of device and a precision."""
    settings = [backbone.mean.flatten().tolist(), backbone.std.flatten().tolist(), asdict(backbone.preprocessing)]
    name = re.sub(r"[^\w.-]+", "_", backbone.spec.name)
    computed = f"{backbone.device.type}-{precision}"
    return RowCache(
        f"features/{name}-{computed}-{digest([asdict(backbone.spec), settings, DECODING])}",
        (_feature_width(backbone),),
        np.float32,
        {"rows": "unit features of the untouched backbone", "backbone": asdict(backbone.spec), "computed": computed},
    )


@lru_cache(maxsize=2)
def _feature_width(backbone: Backbone) -> int:
    side = backbone.preprocessing.size
    return backbone.image_features(torch.zeros(1, 3, side, side, device=backbone.device)).shape[1]
