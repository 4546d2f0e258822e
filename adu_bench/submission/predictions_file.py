"""Untrusted Parquet files with predictions: metadata are checked before values are read, under a memory limit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adu_bench.core.files import read_bytes
from adu_bench.core.parquet_files import DAMAGES, longest_text, opened, plain_type
from adu_bench.leaderboard.packed import ANSWERS, MEASURES
from adu_bench.submission.refusal import Refused, shown

RUN_COLUMNS = {**ANSWERS, "forget": ("bool",), **dict.fromkeys(MEASURES, ("float",))}
"""The columns of a run's predictions, and the allowed types of each."""

_LARGEST = 200_000_000
"""Bound of a file's size in bytes."""
_LONGEST_NAME = 512
_WIDTH = 2 * _LONGEST_NAME + 64
"""Most bytes of one prediction, unpacked, as declared: two names and eight numbers."""
_SPARE = 2**20
_MOST_GROUPS = 64
_MOST_ROWS = 10**8


def read_predictions(path: Path, columns: dict[str, tuple[str, ...]], count: int, name: str) -> pd.DataFrame:
    """Read a file of predictions.

    Parameters
    ----------
    path
        The Parquet file.
    columns
        `RUN_COLUMNS`, or the columns of a committed row.
    count
        The number of predictions that it must have.
    name
        Its name in a refusal.

    Returns
    -------
    DataFrame
        One row per prediction; the columns as stored, with texts as objects and no missing values.

    Raises
    ------
    Refused
        If it is not a Parquet file, or its columns, types, number of predictions or sizes are not as expected.
    """
    try:
        content = read_bytes(path, _LARGEST)
        with opened(content, _MOST_ROWS, count * _WIDTH + _SPARE, ("image", "domain")) as file:
            _check_metadata(file, columns, count, name)
            table = file.read(columns=list(columns), use_threads=False)
            _check_texts(table, name)
            frame = table.to_pandas(ignore_metadata=True)
    except Refused:
        raise
    except DAMAGES as error:
        raise Refused(f"{name} cannot be read: {shown(error, 100)}") from error
    for column in ("image", "domain"):
        frame[column] = frame[column].astype(object)
    return frame


def _check_metadata(file: pq.ParquetFile, columns: dict[str, tuple[str, ...]], count: int, name: str) -> None:
    metadata = file.metadata
    if metadata.num_rows != count:
        raise Refused(f"{name} has {metadata.num_rows} predictions; the test images need {count}")
    if metadata.num_row_groups > _MOST_GROUPS:
        raise Refused(f"{name} has {metadata.num_row_groups} row groups; at most {_MOST_GROUPS} are read")
    found = {field.name: plain_type(field.type) for field in file.schema_arrow}
    if len(file.schema_arrow) != len(columns) or set(found) != set(columns) or metadata.num_columns != len(columns):
        raise Refused(f"{name} has the columns {shown(', '.join(found), 100)}, not {', '.join(columns)}")
    for column, types in columns.items():
        if found[column] not in types:
            raise Refused(f"{name} has {shown(found[column])} in the column {column}, not {types[0]}")


def _check_texts(table: pa.Table, name: str) -> None:
    if any(table.column(column).null_count for column in table.column_names):
        raise Refused(f"{name} has missing values")
    for column in ("image", "domain"):
        if (longest := longest_text(table.column(column))) > _LONGEST_NAME:
            raise Refused(f"{name} has a name of {longest} bytes in the column {column}")
