"""The index of a data set: one row a picture, with its domain, class, pool and content hash."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from adu_bench.core.hashing import digest

COLUMNS = ("image", "domain", "label", "pool", "sha256")
"""The columns that every index has; they identify the data of a task."""
POOLS = ("shots", "validation", "test")
"""The pools that a task draws from; pictures of other pools (pre-training) are no part of it."""


def task_rows(index: pd.DataFrame, domains: Sequence[str], classes: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a task's domains, classes and pools, in index order with their positions as row labels."""
    chosen = index["domain"].isin(domains) & index["label"].isin(classes) & index["pool"].isin(POOLS)
    return index[chosen]


def data_hash(rows: pd.DataFrame) -> str:
    """Return a digest of index rows that does not depend on their order: two users with the same images agree."""
    return digest(sorted(rows.loc[:, list(COLUMNS)].itertuples(index=False, name=None)))
