"""The few-shot sample: k pictures of every (class, domain), the same for every method and forget set."""

from __future__ import annotations

import numpy as np
import pandas as pd

from adu_bench.core.errors import UserError
from adu_bench.core.seeds import derive
from adu_bench.core.specs import Task


def draw_shots(rows: pd.DataFrame, task: Task, seed: int) -> np.ndarray:
    """Draw ``task.shots`` pictures for each (class, domain) pair from the pool ``shots``.

    The draw depends on the data, the pair and the seed only: not on the method, nor on which domains are forgotten.
    Where a pair has fewer pictures, each is taken once and the rest is drawn with replacement.

    Parameters
    ----------
    rows
        The task's index rows, row labels being picture positions.
    task
        Names the domains, classes and shots.
    seed
        The run's seed.

    Returns
    -------
    ndarray
        Picture positions, int64, (domains * classes * shots,), sorted by domain, then class.

    Raises
    ------
    UserError
        If a pair has no picture at all.
    """
    pool = rows[rows["pool"] == "shots"]
    groups = {pair: part.index.to_numpy() for pair, part in pool.groupby(["domain", "label"], sort=False)}
    drawn = []
    for domain in task.domains:
        for label in task.classes:
            positions = groups.get((domain, label))
            if positions is None:
                raise UserError(
                    f"The data set '{task.dataset}' has no training picture of '{label}' in the domain '{domain}'.",
                    f"Each class needs {task.shots} shots in every domain.",
                    "Leave the class out of the suite's class set, or the domain out of its domains.",
                )
            rng = np.random.default_rng(derive(seed, "shots", task.dataset, domain, label))
            extra = max(0, task.shots - len(positions))
            chosen = rng.permutation(positions)[: task.shots]
            drawn.append(np.concatenate([chosen, rng.choice(positions, extra)]) if extra else chosen)
    return np.concatenate(drawn).astype(np.int64)
