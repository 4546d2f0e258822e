"""What a method is given: labelled few-shot images of all domains, a backbone, and nothing of the test set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.classifier import Classifier
from adu_bench.core.specs import Task, TrainingSpec
from adu_bench.training.augment import crop_and_flip, draw_crops


@dataclass(frozen=True)
class Batch:
    """Some labelled images, all tensors on the problem's device.

    Parameters
    ----------
    images
        (N, 3, S, S), float32 in 0..1 (augmented) or uint8.
    labels
        (N,), int64 class indices.
    domains
        (N,), int64 indices into ``problem.domains``.
    forget
        (N,), bool: whether the image's domain is to be forgotten.
    frozen
        (N, D), float32: unit features of the untouched backbone for the images without augmentation.
    """

    images: Tensor
    labels: Tensor
    domains: Tensor
    forget: Tensor
    frozen: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: Tensor) -> Batch:
        """Return the images at positions ``rows``, int64 or bool (N,)."""
        return Batch(*(getattr(self, name)[rows] for name in ("images", "labels", "domains", "forget", "frozen")))


@dataclass
class Problem:
    """One unlearning problem as a method sees it.

    Parameters
    ----------
    task
        Names of classes and domains, what to forget, shots.
    backbone
        The frozen CLIP model.
    train
        The few-shot images of all domains (retain and forget), uint8; ``shots`` for each (class, domain).
    validation
        Held-out images for choosing hyper-parameters or iterations, uint8; disjoint from train and test.
    training
        Batch size and precision.
    rng
        CPU generator seeded by the run's seed; the same for every method.
    """

    task: Task
    backbone: Backbone
    train: Batch
    validation: Batch
    training: TrainingSpec
    rng: torch.Generator
    record: Callable[[dict[str, float]], None] = lambda values: None
    report: Callable[[float, str], None] = lambda share, text: None
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
        """Where images, backbone and classifier are."""
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
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size].to(self.device)
            batch = self.train.select(rows)
            self.image_passes += len(batch)
            side = batch.images.shape[-1]
            boxes = draw_crops(torch.full((len(batch), 4), side), crop, self.rng).to(self.device)
            augmented = crop_and_flip(batch.images.permute(0, 3, 2, 1), boxes, side)
            yield Batch(augmented, batch.labels, batch.domains, batch.forget, batch.frozen)

    def log(self, **values: float | Tensor) -> None:
        """Record named numbers in the run's training log."""
        self.record({name: float(value) for name, value in values.items()})

    def _balanced_order(self) -> Tensor:
        """Shuffle within domains, then take one image of each domain in turn."""
        domains = self.train.domains.cpu()
        shuffled = [
            rows[torch.randperm(len(rows), generator=self.rng)]
            for rows in (torch.nonzero(domains == d).flatten() for d in range(len(self.domains)))
            if len(rows)
        ]
        shortest = min(len(rows) for rows in shuffled)
        return torch.stack([rows[:shortest] for rows in shuffled], dim=1).flatten()
