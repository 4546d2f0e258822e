"""The predictions of all runs of a committed row in one compact Parquet file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from adu_bench.core.files import read_bytes
from adu_bench.core.parquet_files import opened, plain_type, read_table
from adu_bench.metrics.evidence import credit

LARGEST = 200_000_000
"""Bound in bytes of a row's files; on DomainNet's 41 forget sets and three seeds a row has about a tenth."""
_MOST_IMAGES = 250_000
"""Bound of the test images of a task; DomainNet has 176,743."""
_WIDTH = 100
"""Bound in bytes of one prediction, as declared: eight numbers, and the positions of two names."""
_STEPS = 65535
"""Probabilities and margins are stored as multiples of 1/65535, entropies as multiples of ln(C)/65535."""
_TEXT, _SHORT, _STEP = ("string", "large_string"), ("int16",), ("uint16",)
ANSWERS = {"image": _TEXT, "domain": _TEXT, "label": _SHORT, "predicted": _SHORT, "tied": _SHORT}
"""The columns of predictions that are names and counts, and the allowed types of each."""
MEASURES = ("p_label", "p_max", "entropy", "margin")
"""The columns of predictions that are measures of an answer."""
ROW_COLUMNS = {"run": _STEP, **ANSWERS, **dict.fromkeys(MEASURES, _STEP)}
"""The columns of a committed row's predictions, and the allowed types of each."""


def pack(frames: Sequence[pd.DataFrame], classes: int) -> pa.Table:
    """Return the predictions of a row's runs, in their order, with the columns `ROW_COLUMNS`.

    Parameters
    ----------
    frames
        The predictions of each run, as a run directory has them.
    classes
        The number of classes.
    """
    return pa.concat_tables([_packed(frame, number, classes) for number, frame in enumerate(frames)]).combine_chunks()


def require_columns(table: Path, sha256: str, runs: int) -> None:
    """Check the hash, the columns and the bounds of a file of predictions, without decoding it.

    Raises
    ------
    ValueError
        If something is wrong; other errors as in `adu_bench.core.parquet_files.DAMAGES`.
    """
    most = runs * _MOST_IMAGES
    with opened(_content(table, sha256), most, most * _WIDTH) as file:
        found = [(field.name, plain_type(field.type)) for field in file.schema_arrow]
    if [name for name, _ in found] != list(ROW_COLUMNS):
        raise ValueError(f"its predictions do not have the columns {', '.join(ROW_COLUMNS)}")
    for name, kind in found:
        if kind not in ROW_COLUMNS[name]:
            raise ValueError(f"its predictions have {kind} in the column {name}, not {ROW_COLUMNS[name][0]}")


@lru_cache(maxsize=2)
def unpacked(
    table: Path, sha256: str, changed: int, size: int, runs: int, classes: int, domains: tuple[str, ...]
) -> pd.DataFrame:
    """Return the predictions of all runs of a row, with their number in ``run``.

    The runs of a row are read one after another, so the file is decoded once; its time of change and its size tell
    when it has to be read again.

    Parameters
    ----------
    table, sha256
        The Parquet file, and the hash that it must have.
    changed, size
        Its time of change in nanoseconds, and its size in bytes.
    runs, classes, domains
        The number of the row's runs and of the task's classes, and the names of its domains.

    Raises
    ------
    ValueError
        If a value is one that no run can have; other errors as in `require_columns`.
    """
    most = runs * _MOST_IMAGES
    found = read_table(_content(table, sha256), most, most * _WIDTH, texts=("image", "domain"))
    if any(found.column(name).null_count for name in found.column_names):
        raise ValueError("a prediction lacks a value")
    frame = found.to_pandas()
    _check_values(frame, runs, classes, domains)
    for name in ("p_label", "p_max", "margin"):
        frame[name] = (frame[name].astype(np.float64) / _STEPS).astype(np.float32)
    frame["entropy"] = (frame["entropy"].astype(np.float64) / _STEPS * np.log(classes)).astype(np.float32)
    return frame.assign(domain=frame["domain"].astype(str))


def _check_values(frame: pd.DataFrame, runs: int, classes: int, domains: tuple[str, ...]) -> None:
    """Raise a `ValueError` where predictions, as stored, cannot be those of a row's runs."""
    named = pd.concat([frame["label"], frame["predicted"]])
    wrong = {
        "there is a run without predictions, or one too many": not np.array_equal(frame["run"].unique(), range(runs)),
        "there is a domain that the task does not have": not set(frame["domain"].unique()) <= set(domains),
        "there is a class that the task does not have": not named.between(0, classes - 1).all(),
        "more classes are tied than there are": not frame["tied"].between(1, classes).all(),
        "a class is more probable than the most probable one": (frame["p_label"] > frame["p_max"]).any(),
        "an image has two predictions in a run": frame.duplicated(["run", "image"]).any(),
    }
    for why, found in wrong.items():
        if found:
            raise ValueError(why)


def _content(table: Path, sha256: str) -> bytes:
    """Return the bytes of a file of predictions, which must have the hash that the row's JSON file names."""
    content = read_bytes(table, LARGEST)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("the row's JSON file names predictions with another hash")
    return content


def _packed(frame: pd.DataFrame, number: int, classes: int) -> pa.Table:
    p_max = _quantised(frame["p_max"])
    p_label = _quantised(frame["p_label"])
    # Rounding must not turn a wrong answer into a tie, nor a right one into a wrong one.
    right = credit(frame) > 0
    p_label = np.where(right, p_max, np.minimum(p_label, p_max.astype(np.int32) - 1).clip(0)).astype(np.uint16)
    columns = {  # `ROW_COLUMNS`
        "run": pa.array(np.full(len(frame), number, np.uint16)),
        "image": pa.array(frame["image"].astype(str).to_list()).dictionary_encode(),
        "domain": pa.array(frame["domain"].astype(str).to_list()).dictionary_encode(),
        "label": pa.array(frame["label"].to_numpy(np.int16)),
        "predicted": pa.array(frame["predicted"].to_numpy(np.int16)),
        "tied": pa.array(frame["tied"].to_numpy(np.int16)),
        "p_label": pa.array(p_label),
        "p_max": pa.array(p_max),
        "entropy": pa.array(_quantised(frame["entropy"] / np.log(classes))),
        "margin": pa.array(_quantised(frame["margin"])),
    }
    return pa.table(columns)


def _quantised(values: pd.Series) -> np.ndarray:
    return np.rint(values.to_numpy(np.float64).clip(0, 1) * _STEPS).astype(np.uint16)
