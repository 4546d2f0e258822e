"""The few-shot images of a run in files, so that a method can be given them and no other image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.transfer import upload, upload_images
from adu_bench.core.progress import Progress, silent
from adu_bench.core.seeds import derive
from adu_bench.core.specs import RunSpec
from adu_bench.runner.task_data import TaskData
from adu_bench.training.problem import Batch, FullImages, Problem

_ARRAYS, _CANVASES = "shots.npz", "canvases.npy"
_PER_IMAGE = ("labels", "domains", "forget", "frozen")
_AT_ONCE = 256
"""Canvases in memory at a time."""


def save_shots(problem: Problem, folder: Path) -> None:
    """Write the images of a problem, and what it says of each, into a folder."""
    train, extents, side = problem.train, problem.full.extents.numpy(), problem.backbone.preprocessing.canvas
    arrays = {name: getattr(train, name).cpu().numpy() for name in _PER_IMAGE}
    np.savez(folder / _ARRAYS, images=train.images.permute(0, 2, 3, 1).cpu().numpy(), extents=extents, **arrays)
    canvases = np.lib.format.open_memmap(folder / _CANVASES, "w+", np.uint8, (len(train), side, side, 3))
    for start in range(0, len(train), _AT_ONCE):
        part = problem.full.load(np.arange(start, min(start + _AT_ONCE, len(train))))
        canvases[start : start + len(part), : part.shape[1], : part.shape[2]] = part
    canvases.flush()


class SavedShots(TaskData):
    """The images of a task as `save_shots` left them: the few-shot images of one run.

    Parameters
    ----------
    folder
        The folder.
    backbone
        The backbone whose features and preprocessing they have.
    """

    def __init__(self, folder: Path, backbone: Backbone) -> None:
        self.folder, self.backbone = folder, backbone

    def problem(
        self, spec: RunSpec, record: Callable[[dict[str, float]], None] = lambda values: None, report: Progress = silent
    ) -> Problem:
        """Build the problem that the images were saved from."""
        device, canvases = self.backbone.device, np.load(self.folder / _CANVASES, mmap_mode="r")
        with np.load(self.folder / _ARRAYS) as stored:
            arrays = dict(stored)
        images, extents = arrays["images"], arrays["extents"]

        def load(places: np.ndarray) -> np.ndarray:
            width, height = extents[places, :2].max(axis=0)
            return np.ascontiguousarray(canvases[places, :width, :height])

        return Problem(
            task=spec.task,
            backbone=self.backbone,
            train=Batch(
                lambda: upload_images(images, device), **{name: upload(arrays[name], device) for name in _PER_IMAGE}
            ),
            full=FullImages(load, torch.from_numpy(extents)),
            training=spec.training,
            rng=torch.Generator().manual_seed(derive(spec.seed, "batches")),
            record=record,
            report=report,
        )
