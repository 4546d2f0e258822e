"""The few-shot sample: k training images of every (class, domain), the same for every method and forget set."""

from __future__ import annotations

import numpy as np
import pandas as pd

from adu_bench.core.errors import UserError
from adu_bench.core.seeds import derive
from adu_bench.core.specs import Task


def draw_shots(rows: pd.DataFrame, task: Task, seed: int) -> np.ndarray:
    """Draw ``task.shots`` images for each (class, domain) pair from the training split.

    The draw depends only on the data, the pair and the seed: not on the method, nor on which domains are forgotten.
    Where a pair has fewer images, each is taken once and the rest is drawn with replacement; a pair without training
    images (DomainNet's lists have no painted t-shirt) is left out.

    Parameters
    ----------
    rows
        The task's index rows, whose row labels are image positions.
    task
        Names the domains, classes and shots.
    seed
        The run's seed.

    Returns
    -------
    ndarray
        Image positions, int64, (pairs * shots,), sorted by domain, then class.

    Raises
    ------
    UserError
        If a class has no training image in any domain, or a domain has none of any class.
    """
    pool = rows[rows["pool"] == "train"]
    groups = {pair: part.index.to_numpy() for pair, part in pool.groupby(["domain", "label"], sort=False)}
    _require_some("class", task.classes, {label for _, label in groups}, task)
    _require_some("domain", task.domains, {domain for domain, _ in groups}, task)
    drawn = []
    for domain in task.domains:
        for label in task.classes:
            positions = groups.get((domain, label))
            if positions is None:
                continue
            rng = np.random.default_rng(derive(seed, "shots", task.dataset, domain, label))
            extra = max(0, task.shots - len(positions))
            chosen = rng.permutation(positions)[: task.shots]
            drawn.append(np.concatenate([chosen, rng.choice(positions, extra)]) if extra else chosen)
    return np.concatenate(drawn).astype(np.int64)


def _require_some(kind: str, wanted: tuple[str, ...], present: set[str], task: Task) -> None:
    for name in wanted:
        if name not in present:
            raise UserError(
                f"The data set '{task.dataset}' has no training image of the {kind} '{name}'.",
                f"Methods learn from {task.shots} shots of each class in each domain.",
                f"Leave the {kind} out of the suite.",
            )
