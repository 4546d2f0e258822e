"""The problem that a method receives: labelled few-shot images of all domains and a backbone, and no other images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.transfer import upload
from adu_bench.core.progress import Progress, silent
from adu_bench.core.specs import Task, TrainingSpec
from adu_bench.training.augment import crop_and_flip, draw_crops

KEPT_ON_DEVICE = 2 * 2**30
"""Limit in bytes for keeping all training images on the device; larger sets are copied batch by batch."""


@dataclass(frozen=True)
class Batch:
    """Labelled images, with all tensors on the problem's device.

    Parameters
    ----------
    source
        The images, see ``images``, or a function that returns them: methods that read only frozen features never copy
        images to the device.
    labels
        (N,), int64 class indices.
    domains
        (N,), int64 indices into ``problem.domains``.
    forget
        (N,), bool: whether the image's domain is to be forgotten.
    frozen
        (N, D), float32: unit features of the frozen backbone for the images without augmentation.
    """

    source: Tensor | Callable[[], Tensor]
    labels: Tensor
    domains: Tensor
    forget: Tensor
    frozen: Tensor

    @cached_property
    def images(self) -> Tensor:
        """The images, (N, 3, S, S), float32 in 0..1 (augmented) or uint8."""
        return self.source if isinstance(self.source, Tensor) else self.source()

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: Tensor) -> Batch:
        """Return the images at positions ``rows``, int64 or bool (N,), on the problem's device.

        Indexing by positions does not wait for the device; a mask does, because its true values must be counted.
        """
        kept = (getattr(self, name)[rows] for name in ("labels", "domains", "forget", "frozen"))
        return Batch(lambda: self.images[rows], *kept)


@dataclass(frozen=True)
class FullImages:
    """The few-shot images with their full extent, for random crops.

    Parameters
    ----------
    load
        Returns canvases, uint8 (n, W, H, 3), columns first, given positions among the few-shot images, int64 (n,);
        see `adu_bench.data.image_cache.TrainingImageCache`.
    extents
        The size of each image, int32 (N, 4), as `draw_crops` needs it.
    """

    load: Callable[[np.ndarray], np.ndarray]
    extents: Tensor


@dataclass
class Problem:
    """One unlearning problem as a method sees it.

    There are no validation images: they serve to choose hyper-parameters, in the same way for all methods.  A method
    that stopped early or chose an iterate by them would use labels that other methods do not use.

    Parameters
    ----------
    task
        Names of classes and domains, the domains to forget, and the number of shots.
    backbone
        The frozen CLIP model.
    train
        The few-shot images of all domains (retain and forget), uint8; ``shots`` for each (class, domain), unless the
        run drops images of a domain.  In runs with label noise, domains and forget flags are those of the given labels.
    full
        The few-shot images in the order of ``train``, for augmentation.
    training
        Batch size and precision.
    rng
        CPU generator seeded by the run's seed; the same for every method.
    """

    task: Task
    backbone: Backbone
    train: Batch
    full: FullImages
    training: TrainingSpec
    rng: torch.Generator
    record: Callable[[dict[str, float]], None] = lambda values: None
    report: Progress = silent
    image_passes: int = field(default=0, init=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.task.classes

    @property
    def domains(self) -> tuple[str, ...]:
        """Domain names in the order of domain indices."""
        return self.task.domains

    @property
    def forget(self) -> tuple[str, ...]:
        """Names of the domains to forget."""
        return self.task.forget

    @property
    def retain(self) -> tuple[str, ...]:
        """Names of the domains to keep."""
        return self.task.retain

    @property
    def shots(self) -> int:
        """Training images for each (class, domain) pair."""
        return self.task.shots

    @property
    def device(self) -> torch.device:
        """The device of images, backbone and classifier."""
        return self.backbone.device

    def classifier(self) -> Classifier:
        """Return a fresh classifier: the backbone with its zero-shot head over the task's classes."""
        return Classifier(self.backbone, self.classes, self.task.template)

    def batches(self, *, crop: float = 0.08, balanced: bool = False) -> Iterator[Batch]:
        """Yield one epoch of augmented batches in a new random order; the incomplete last batch is dropped.

        Parameters
        ----------
        crop
            Smallest share of the area for random-resized-crop, in 0..1.
        balanced
            Give every batch the same number of images of each domain (up to one), instead of a random mixture.
        """
        size = min(self.training.batch, len(self.train))
        order = self._balanced_order() if balanced else torch.randperm(len(self.train), generator=self.rng)
        order = order[: len(order) // size * size]
        # All positions and crops of the epoch are copied to the device at once, before its first step.
        rows = upload(order, self.device)
        crops = upload(draw_crops(self.full.extents[order], crop, self.rng), self.device)
        for start in range(0, len(order), size):
            part = slice(start, start + size)
            images = crop_and_flip(
                self._canvases(order[part], rows[part]), crops[part], self.backbone.preprocessing.size
            )
            batch = self.train.select(rows[part])
            self.image_passes += len(batch)
            yield Batch(images, batch.labels, batch.domains, batch.forget, batch.frozen)

    def log(self, **values: float | Tensor) -> None:
        """Record named numbers in the run's training log."""
        self.record({name: float(value) for name, value in values.items()})

    @cached_property
    def _all_canvases(self) -> Tensor | None:
        """All canvases on the device, uint8 (N, W, H, 3); None if they would need too much memory."""
        if len(self.train) * 3 * self.backbone.preprocessing.canvas**2 > KEPT_ON_DEVICE:
            return None
        return upload(self.full.load(np.arange(len(self.train))), self.device)

    def _canvases(self, order: Tensor, rows: Tensor) -> Tensor:
        """Return the canvases of a batch, given the same positions on the CPU and on the device."""
        if self._all_canvases is None:
            return upload(self.full.load(order.numpy()), self.device)
        return self._all_canvases[rows]

    @cached_property
    def _domains(self) -> Tensor:
        """The domains of the few-shot images on the CPU, int64 (N,)."""
        return self.train.domains.cpu()

    def _balanced_order(self) -> Tensor:
        """Shuffle within domains, then alternate between the domains."""
        domains = self._domains
        shuffled = [
            rows[torch.randperm(len(rows), generator=self.rng)]
            for rows in (torch.nonzero(domains == d).flatten() for d in range(len(self.domains)))
            if len(rows)
        ]
        shortest = min(len(rows) for rows in shuffled)
        return torch.stack([rows[:shortest] for rows in shuffled], dim=1).flatten()
