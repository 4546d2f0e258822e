"""How many few-shot images two seeds share, since both draw from the same finite pool."""

from __future__ import annotations

import numpy as np
import pandas as pd

from adu_bench.core.specs import Task


def shared_shots(rows: pd.DataFrame, task: Task) -> float:
    """Return the expected share, 0..1, of a seed's few-shot images that another seed draws, too.

    Parameters
    ----------
    rows
        The task's index rows, see `adu_bench.data.sampler.draw_shots`.
    task
        Names the domains, classes and shots.

    Notes
    -----
    Of n training images of a class and domain a seed draws ``shots`` without replacement, hence another seed's image is
    among them with probability shots / n; pairs with too few images are drawn whole.
    """
    pool = rows[(rows["pool"] == "train") & rows["domain"].isin(task.domains) & rows["label"].isin(task.classes)]
    sizes = pool.groupby(["domain", "label"], observed=True).size().to_numpy()
    return float(np.minimum(task.shots / sizes, 1.0).mean())
