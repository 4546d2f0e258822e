"""Decode what planned runs need before the first of them starts, so that damaged pictures stop all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from adu_bench.clip.weights import preprocessing_of
from adu_bench.core.specs import Task
from adu_bench.data.index import task_rows
from adu_bench.data.parallel import Progress
from adu_bench.data.sampler import draw_shots
from adu_bench.data.sources import open_source
from adu_bench.runner.plan import PlannedRun

HELD_OUT = ("validation", "test")


def decode_needed(runs: Sequence[PlannedRun], step: Callable[[str], Progress], pools: Sequence[str] = HELD_OUT) -> None:
    """Decode the pictures in files that runs need and the cache lacks; drawn pictures are left to the runs.

    Parameters
    ----------
    runs
        What is going to be executed.
    step
        Given the name of a step, returns what is told of its progress.
    pools
        Which pools are wanted beside the shots.

    Raises
    ------
    UserError
        If pictures cannot be used; it names all of them.
    """
    needs: dict[tuple[str, str], dict[tuple, tuple[Task, int]]] = {}
    for run in runs:
        task, seed = run.spec.task, run.spec.seed
        # Tasks that differ in what they forget need the same pictures.
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
        source.images(preprocessing).ensure(np.unique(np.concatenate(parts)), step(f"decoding images of {dataset}"))
        training = np.unique(np.concatenate(all_shots))
        source.training_images(preprocessing).ensure(training, step(f"decoding training images of {dataset}"))


def needed(rows: pd.DataFrame, shots: np.ndarray, pools: Sequence[str] = HELD_OUT) -> np.ndarray:
    """Return the positions of the pictures that a run needs: its shots and whole pools, sorted, int64 (N,)."""
    return np.unique(np.concatenate([shots, *(of_pool(rows, pool) for pool in pools)]))


def of_pool(rows: pd.DataFrame, pool: str) -> np.ndarray:
    """Return the positions of a pool's pictures, int64 (N,)."""
    return rows.index.to_numpy()[(rows["pool"] == pool).to_numpy()]
