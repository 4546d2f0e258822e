"""Are the attacks good measures?  Faithfulness and robustness, computed from committed measurements.

An attack is faithful if what it recovers tells models that know the forget domains from models that do not, and robust
if it orders methods in the same way whichever few-shot images were drawn (as OpenUnlearning asks of its metrics).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from adu_bench.leaderboard.aspects import FULL_ATTACKS
from adu_bench.leaderboard.measurements import ORACLE

KNOWING = ("zero-shot", "prompt-tuning")
"""Methods that forget nothing."""
SILENT = ("collapse",)
"""Methods whose answers hold no information, in front of features that were not changed."""
LOCKED = ("domain-gate", "derange-gate", "coin", *SILENT)
"""Methods that change answers only: an attack on features must read them as models that know."""
ON_FEATURES = ("part-off", "class-probe", "prototypes")
"""Audits that read features or remove parts.  They are right to find what `SILENT` methods know, so such methods are
models without knowledge only for attacks that have nothing but answers and gradients."""


@dataclass(frozen=True)
class AttackCheck:
    """How well one attack measures.

    Parameters
    ----------
    name
        The attack's name.
    silent
        AUC between runs of models that know and of `SILENT` methods, 0..1, 1 is best; None for attacks on features,
        and where one side was not measured.
    oracle
        The same between models that know and oracles, which never saw the forget domains; an oracle that still
        recognises them makes it smaller.
    correlation
        Spearman's rank correlation of methods between two seeds, mean over pairs of seeds, -1..1; None with one seed,
        fewer than three methods, or where all methods read the same.
    methods, seeds
        Numbers of methods and seeds behind it.
    """

    name: str
    silent: float | None
    oracle: float | None
    correlation: float | None
    methods: int
    seeds: int


def check_attacks(measured: pd.DataFrame, oracle: pd.DataFrame) -> list[AttackCheck]:
    """Compute how well each measured attack measures.

    Parameters
    ----------
    measured, oracle
        Measurements of runs and of oracles, see `adu_bench.leaderboard.measurements`.
    """
    found = []
    for attack, name in FULL_ATTACKS.items():
        audit, _, metric = attack.partition("/")
        own, models = (each[(each["audit"] == audit) & (each["metric"] == metric)] for each in (measured, oracle))
        if own.empty:
            continue
        on_features = audit in ON_FEATURES
        knowing = _values(own, (*KNOWING, *LOCKED) if on_features else KNOWING)
        silent = None if on_features else auc(knowing, _values(own, SILENT))
        correlation, methods, seeds = rank_correlation(own)
        never = auc(knowing, _values(models, (ORACLE,)))
        found.append(AttackCheck(name, silent, never, correlation, methods, seeds))
    return found


def auc(high: np.ndarray, low: np.ndarray) -> float | None:
    """Return how often a value of the first group is above one of the second; ties count half; None without a pair."""
    if not len(high) or not len(low):
        return None
    # Measurements are rounded, so equal values must not be told apart by their last digit.
    gaps = np.round(high[:, None] - low[None], 7)
    return float(((gaps > 0) + (gaps == 0) / 2).mean())


def rank_correlation(own: pd.DataFrame) -> tuple[float | None, int, int]:
    """Return the rank correlation of methods between seeds, and the numbers of methods and seeds that it rests on.

    Parameters
    ----------
    own
        Values of one metric, with columns method, task, seed and value.  Methods that lack a task or a seed which
        others have are left out.
    """
    wide = own.pivot_table(index="method", columns=["seed", "task"], values="value").dropna()
    means = wide.T.groupby(level="seed").mean().T.round(7)
    ranks = means.rank()
    pairs = [ranks[[one, two]] for one, two in combinations(ranks.columns, 2)]
    found = [pair.corr().iloc[0, 1] for pair in pairs if (pair.nunique() > 1).all()]
    enough = len(means) > 2 and found
    return (float(np.mean(found)) if enough else None), len(means), len(means.columns)


def _values(own: pd.DataFrame, methods: Collection[str]) -> np.ndarray:
    return own.loc[own["method"].isin(methods), "value"].to_numpy(dtype=float)
