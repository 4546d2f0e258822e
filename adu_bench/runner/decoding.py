"""Decode the images that planned runs need before the first run starts, so that damaged images are reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from adu_bench.clip.weights import preprocessing_of
from adu_bench.core.progress import Progress, silent
from adu_bench.core.specs import Task
from adu_bench.data.index import task_rows
from adu_bench.data.sampler import draw_shots
from adu_bench.data.sources import open_source
from adu_bench.runner.plan import PlannedRun

SCORED = ("test",)
"""The pools that a run answers."""


def decode_needed(runs: Sequence[PlannedRun], progress: Progress = silent, pools: Sequence[str] = SCORED) -> None:
    """Decode image files that runs need and the cache lacks; drawn images are left to the runs.

    Parameters
    ----------
    runs
        The runs that will be executed.
    progress
        Called with one step per data set.
    pools
        Pools that are needed besides the shots.

    Raises
    ------
    UserError
        If images cannot be used; it names all of them.
    """
    needs: dict[tuple[str, str], dict[tuple, tuple[Task, int]]] = {}
    for run in runs:
        task, seed = run.spec.task, run.spec.seed
        # Tasks that differ only in the domains to forget need the same images.
        same = (task.domains, task.classes, task.shots, seed)
        needs.setdefault((task.dataset, run.backbone), {})[same] = (task, seed)
    for (dataset, backbone), uses in needs.items():
        source = open_source(dataset)
        if source.root is None:
            continue
        preprocessing = preprocessing_of(backbone)
        all_shots, parts = [], []
        for task, seed in uses.values():
            rows = task_rows(source.index, task.domains, task.classes)
            shots = draw_shots(rows, task, seed)
            all_shots.append(shots)
            parts.append(needed(rows, shots, pools))
        positions = np.unique(np.concatenate(parts))
        source.images(preprocessing).ensure(positions, partial(progress, f"decoding images of {dataset}"))
        training = np.unique(np.concatenate(all_shots))
        source.training_images(preprocessing).ensure(
            training, partial(progress, f"decoding training images of {dataset}")
        )


def needed(rows: pd.DataFrame, shots: np.ndarray, pools: Sequence[str] = SCORED) -> np.ndarray:
    """Return the positions of the images that a run needs: its shots and whole pools, sorted, int64 (N,)."""
    return np.unique(np.concatenate([shots, *(of_pool(rows, pool) for pool in pools)]))


def of_pool(rows: pd.DataFrame, pool: str) -> np.ndarray:
    """Return the positions of a pool's images, int64 (N,)."""
    return rows.index.to_numpy()[(rows["pool"] == pool).to_numpy()]
