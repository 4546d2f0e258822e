"""Fine-tune the shipped model on the training images of a suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from adu_bench.clip.identity import SHIPPED_FOLDER, folder_config
from adu_bench.clip.weights import preprocessing_from
from adu_bench.core.progress import Progress, silent
from adu_bench.data.index import task_rows
from adu_bench.data.sources import open_source
from adu_bench.pretraining.corpus import Corpus
from adu_bench.pretraining.trainer import Course, Stage, Trainer
from adu_bench.suites import Suite
from adu_bench.training.augment import crop_and_flip, draw_crops

STEPS = 2500
"""Steps with a batch of 128: at most 25 minutes on two cores."""
LEAST_CROP = 0.3
"""Smallest share of the area that a random crop keeps."""


def pretrain(
    suite: Suite,
    out: Path,
    steps: int,
    seed: int,
    record: Callable[[dict[str, float]], None] = lambda row: None,
    progress: Progress = silent,
    *,
    device: str = "cpu",
) -> Path:
    """Train a model on a suite's training split and write it as a folder that ``--backbone`` takes.

    No test image is read; the validation images only measure progress.  The few-shot images of the suite's tasks are
    among the training images, as may be the case for any CLIP model.

    Parameters
    ----------
    suite
        Gives images, classes, domains and template.
    out
        Folder of the model; an unfinished training there continues.
    steps
        Length of the training.
    seed
        Seed of the random draws.
    record
        Called at every checkpoint with ``step``, ``seconds``, ``loss``, the validation accuracy of each domain, and
        the accuracy on training images (``seen``).
    progress
        Called at every step.
    device
        ``cpu`` or ``cuda``.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    UserError
        If the suite's images are missing, or the folder holds a training with other images or other settings.
    """
    images = pool(suite, "train"), pool(suite, "validation")
    trainer = Trainer(course(suite.template, steps), *images, out, seed, device)
    trainer.run(steps, record, progress)
    return out


def course(template: str, steps: int) -> Course:
    """Return the schedule of the fine-tuning; captions name the class, or class and domain.

    Parameters
    ----------
    template
        Text with one ``{}`` for the class name, as the suite's.
    steps
        Length of the training.
    """
    stage = Stage(until=steps, peak=1e-3, start=0, horizon=steps, classed=1.0, captions=0.6, strength=0.3, dropped=0.25)
    return Course((stage,), (template, "{}"), _crop, SHIPPED_FOLDER)


def pool(suite: Suite, name: str) -> Corpus:
    """Return the images of one pool of a suite, in the shipped model's size, with class and domain as caption."""
    source = open_source(suite.dataset)
    rows = task_rows(source.index, suite.domains, suite.classes)
    rows = rows[rows["pool"] == name]
    preprocessing = preprocessing_from(folder_config()["preprocess_cfg"])
    pixels = source.images(preprocessing).take(rows.index.to_numpy())
    labels, domains = rows["label"].tolist(), rows["domain"].tolist()
    names = [f"{label}, {domain.replace('_', ' ')}" for label, domain in zip(labels, domains, strict=True)]
    return Corpus(pixels, names, labels, domains)


def _crop(images: Tensor, rng: torch.Generator) -> Tensor:
    """Crop preprocessed images, (N, 3, S, S) uint8; the area outside the centre square is not used."""
    side = images.shape[-1]
    crops = draw_crops(torch.full((len(images), 4), side), LEAST_CROP, rng).to(images.device)
    return crop_and_flip(images.permute(0, 3, 2, 1), crops, side)
