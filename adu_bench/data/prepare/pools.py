"""Which pictures are for shots, for validation and for test: as published, else by content, the same for everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import numpy as np
import pandas as pd

from adu_bench.core.errors import UserError

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2
MOST_VALIDATION = 4
"""Most validation pictures of a (class, domain), as in CoOp; nor are they more than a fifth of its training ones."""
PAIR = ["domain", "label"]


def candidates(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Keep at most so many training pictures of a (class, domain), by a hash of their names: none has to be read.

    Parameters
    ----------
    rows
        Columns image, domain, label, pool.
    most
        The bound; 0 for none.
    """
    if not most:
        return rows
    order = rows["image"].map(lambda image: sha256(image.encode()).hexdigest())
    training = order[rows["pool"] == "shots"].rank(method="dense")
    rank = training.groupby([rows[name] for name in PAIR]).rank(method="first")
    return rows[~(rank.reindex(rows.index) > most)]


def assign(
    rows: pd.DataFrame, domains: Sequence[str], split_state: Mapping[str, int]
) -> tuple[pd.DataFrame, list[str]]:
    """Give every picture its pool.

    Where nothing was published, a fifth of every (class, domain) becomes test, chosen by content; validation is taken
    out of the training pictures.  A picture whose bytes are also held out is dropped from training.

    Parameters
    ----------
    rows
        Columns image, domain, label, pool (empty where unknown), sha256.
    domains
        The domains that must have pictures.
    split_state
        Random states of scikit-learn's stratified split, for domains that are split with it.

    Returns
    -------
    rows, dropped
        With pools shots, validation and test; and the names of the pictures that were dropped.

    Raises
    ------
    UserError
        If a domain has no picture for a pool.
    """
    rows = rows.copy()
    for domain, part in rows.groupby("domain", sort=False):
        unknown = part["pool"] == ""
        if not unknown.any():
            continue
        if not unknown.all():
            raise UserError(
                f"Some pictures of '{domain}' have a split and some have none.",
                "Either all pictures of a domain are split, or none.",
                "Complete the split, or remove it for a split by content.",
            )
        state = split_state.get(str(domain))
        test = _stratified(part, state) if state is not None else _fifth(part)
        rows.loc[part.index, "pool"] = np.where(test, "test", "shots")
    rows, dropped = _held_out_once(rows)
    for _, part in rows.groupby("domain", sort=False):
        if (part["pool"] == "validation").any():
            continue
        training = part[part["pool"] == "shots"]
        rows.loc[training.index[_validation(training)], "pool"] = "validation"
    rows, more = _held_out_once(rows)
    _require_all(rows, domains)
    return rows, dropped + more


def _fifth(rows: pd.DataFrame) -> np.ndarray:
    """Return which rows become test: a fifth of every class, at least one of two."""
    return _first_by_content(rows, lambda count: (TEST_SHARE * count).round().clip(lower=1) * (count > 1))


def _validation(rows: pd.DataFrame) -> np.ndarray:
    return _first_by_content(rows, lambda count: (VALIDATION_SHARE * count).astype(int).clip(upper=MOST_VALIDATION))


def _first_by_content(rows: pd.DataFrame, number: Callable[[pd.Series], pd.Series]) -> np.ndarray:
    """Return which rows of every class are among its first so many by content hash.

    Identical files stay together; those that are there once come first, so that there are always some to choose.
    """
    copies = rows.groupby([*PAIR, "sha256"])["image"].transform("size")
    order = (copies.astype(str).str.zfill(9) + rows["sha256"]).rank(method="dense")
    pairs = order.groupby([rows[name] for name in PAIR])
    return (pairs.rank(method="max") <= number(pairs.transform("size"))).to_numpy()


def _stratified(rows: pd.DataFrame, state: int) -> np.ndarray:
    """Return which rows scikit-learn's stratified 80/20 split of the sorted pictures makes test."""
    from sklearn.model_selection import train_test_split

    ordered = rows.sort_values("image")
    try:
        _, test = train_test_split(ordered.index, test_size=TEST_SHARE, stratify=ordered["label"], random_state=state)
    except ValueError as error:
        raise UserError(
            f"The domain '{rows['domain'].iloc[0]}' cannot be split.", f"{error}", "Get all of its pictures."
        ) from error
    return rows.index.isin(test)


def _held_out_once(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Drop training pictures that are also held out, and validation pictures that are also test."""
    held = {pool: set(rows.loc[rows["pool"] == pool, "sha256"]) for pool in ("validation", "test")}
    twice = (rows["pool"] != "test") & rows["sha256"].isin(held["test"])
    twice |= (rows["pool"] == "shots") & rows["sha256"].isin(held["validation"])
    return rows[~twice], rows.loc[twice, "image"].tolist()


def _require_all(rows: pd.DataFrame, domains: Sequence[str]) -> None:
    there = set(zip(rows["domain"], rows["pool"], strict=True))
    for pool, purpose in (
        ("shots", "Methods learn from it"),
        ("validation", "Settings are chosen on it"),
        ("test", "Methods are judged by it"),
    ):
        for domain in domains:
            if (domain, pool) not in there:
                raise UserError(
                    f"The domain '{domain}' has no {'training' if pool == 'shots' else pool} picture.",
                    f"{purpose}; a (class, domain) gives one from five training pictures on."
                    if pool == "validation"
                    else f"{purpose}.",
                    "Add pictures to it, or leave the domain out.",
                )
