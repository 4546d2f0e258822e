"""Descriptions of the single runs of several methods: probability of improvement and performance profiles."""

from __future__ import annotations

import numpy as np
import pandas as pd

from adu_bench.stats.scores import Scores


def improvement(block: Scores, a: str, b: str, size: int | None = None) -> float:
    """Return the probability that a run of A beats one of B on the same task (Agarwal et al. 2021), mean over tasks.

    All seeds of A are paired with all of B; ties count half.  It has no interval, since intervals for shares near 0 and
    1 are too narrow.
    """
    places = block.methods.index(a), block.methods.index(b)
    gaps = block.values[places[0]][:, :, None] - block.values[places[1]][:, None, :]
    wins = (gaps > 0).mean(axis=(1, 2)) + (gaps == 0).mean(axis=(1, 2)) / 2
    return float(wins[block.view(size)].mean())


def profile(block: Scores, thresholds: np.ndarray | None = None, size: int | None = None) -> pd.DataFrame:
    """Return performance profiles: the share of runs that reach a threshold (Dolan and More 2002; Agarwal et al. 2021).

    Returns
    -------
    DataFrame
        One row per threshold (index), one column per method.
    """
    values = block.values[:, block.view(size)].reshape(len(block.methods), -1)
    grid = np.linspace(0, 1, 101) if thresholds is None else np.asarray(thresholds)
    shares = (values[:, :, None] >= grid).mean(axis=1)
    return pd.DataFrame(shares.T, index=pd.Index(grid, name="threshold"), columns=list(block.methods))
