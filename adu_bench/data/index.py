"""The index of a data set: one row per image, with its domain, class, pool and content hash."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from adu_bench.core.errors import UserError
from adu_bench.core.hashing import digest
from adu_bench.data.names import look_alike

COLUMNS = ("image", "domain", "label", "pool", "sha256")
"""The columns that every index has; they identify the data of a task."""
POOLS = ("train", "validation", "test")
"""The pools that a task draws from; images of other pools (pre-training) are not part of it."""


def task_rows(index: pd.DataFrame, domains: Sequence[str], classes: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a task's domains, classes and pools, in index order with their positions as row labels.

    Raises
    ------
    UserError
        If two classes, or two domains, have names that differ only in spelling.
    """
    for kind, names in (("classes", classes), ("domains", domains)):
        if pair := look_alike(names):
            raise UserError(
                f"The {kind} '{pair[0]}' and '{pair[1]}' have the same name in two spellings.",
                "Names that differ only in case, accents, spaces, underscores or hyphens mean the same to a reader.",
                "Rename one of them, and prepare the data set again.",
            )
    chosen = index["domain"].isin(domains) & index["label"].isin(classes) & index["pool"].isin(POOLS)
    return index[chosen]


def data_hash(rows: pd.DataFrame) -> str:
    """Return a digest of index rows that does not depend on their order: two users with the same images agree."""
    return digest(sorted(rows.loc[:, list(COLUMNS)].itertuples(index=False, name=None)))
