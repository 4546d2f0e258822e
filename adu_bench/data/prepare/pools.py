"""Split images into train, validation and test: as published, else by content, the same for everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import numpy as np
import pandas as pd

from adu_bench.core.errors import UserError

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2
MOST_VALIDATION = 4
"""Largest number of validation images of a (class, domain), as in CoOp; at most a fifth of its training images."""
PAIR = ["domain", "label"]


def candidates(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Keep at most ``most`` training images of a (class, domain), by a hash of their names: none has to be read.

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
    training = order[rows["pool"] == "train"].rank(method="dense")
    rank = training.groupby([rows[name] for name in PAIR]).rank(method="first")
    return rows[~(rank.reindex(rows.index) > most)]


def assign(
    rows: pd.DataFrame, domains: Sequence[str], split_state: Mapping[str, int]
) -> tuple[pd.DataFrame, list[str]]:
    """Give every image its pool.

    Without a published split, a fifth of every (class, domain) becomes test, chosen by content.  Validation images are
    taken out of the training images.  A training image whose bytes are also held out is dropped.

    Parameters
    ----------
    rows
        Columns image, domain, label, pool (empty where unknown), sha256.
    domains
        The domains that must have images.
    split_state
        Random states of scikit-learn's stratified split, for domains that are split with it.

    Returns
    -------
    rows, dropped
        The rows with pools train, validation and test; and the names of the images that were dropped.

    Raises
    ------
    UserError
        If a domain has no image for a pool.
    """
    rows = rows.copy()
    for domain, part in rows.groupby("domain", sort=False):
        unknown = part["pool"] == ""
        if not unknown.any():
            continue
        if not unknown.all():
            raise UserError(
                f"Some images of '{domain}' have a split and some do not.",
                "A domain is split completely or not at all.",
                "Complete the split, or remove it for a split by content.",
            )
        state = split_state.get(str(domain))
        test = _stratified(part, state) if state is not None else _fifth(part)
        rows.loc[part.index, "pool"] = np.where(test, "test", "train")
    rows, dropped = _held_out_once(rows)
    for _, part in rows.groupby("domain", sort=False):
        if (part["pool"] == "validation").any():
            continue
        training = part[part["pool"] == "train"]
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
    """Return which rows of every class are among its first ones by content hash.

    Identical files stay together; files without a copy come first, so that there are always some to choose.
    """
    copies = rows.groupby([*PAIR, "sha256"])["image"].transform("size")
    order = (copies.astype(str).str.zfill(9) + rows["sha256"]).rank(method="dense")
    pairs = order.groupby([rows[name] for name in PAIR])
    return (pairs.rank(method="max") <= number(pairs.transform("size"))).to_numpy()


def _stratified(rows: pd.DataFrame, state: int) -> np.ndarray:
    """Return which rows scikit-learn's stratified 80/20 split of the sorted images makes test."""
    from sklearn.model_selection import train_test_split

    ordered = rows.sort_values("image")
    try:
        _, test = train_test_split(ordered.index, test_size=TEST_SHARE, stratify=ordered["label"], random_state=state)
    except ValueError as error:
        raise UserError(
            f"The domain '{rows['domain'].iloc[0]}' cannot be split.", f"{error}", "Get all its images."
        ) from error
    return rows.index.isin(test)


def _held_out_once(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Drop training images that are also held out, and validation images that are also test."""
    held = {pool: set(rows.loc[rows["pool"] == pool, "sha256"]) for pool in ("validation", "test")}
    twice = (rows["pool"] != "test") & rows["sha256"].isin(held["test"])
    twice |= (rows["pool"] == "train") & rows["sha256"].isin(held["validation"])
    return rows[~twice], rows.loc[twice, "image"].tolist()


def _require_all(rows: pd.DataFrame, domains: Sequence[str]) -> None:
    there = set(zip(rows["domain"], rows["pool"], strict=True))
    for pool, purpose in (
        ("train", "Methods learn from them"),
        ("validation", "Settings are chosen on them"),
        ("test", "Methods are evaluated on them"),
    ):
        for domain in domains:
            if (domain, pool) not in there:
                raise UserError(
                    f"The domain '{domain}' has no {'training' if pool == 'train' else pool} images.",
                    f"{purpose}; a (class, domain) gives one if it has at least five training images."
                    if pool == "validation"
                    else f"{purpose}.",
                    "Add images to it, or leave the domain out.",
                )
