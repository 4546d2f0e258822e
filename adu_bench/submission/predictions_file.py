"""Untrusted Parquet files with predictions: metadata are checked before values are read, under a memory limit."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adu_bench.submission.refusal import Refused, shown

_TEXT, _SHORT, _REAL, _STEP = ("string", "large_string"), ("int16",), ("float",), ("uint16",)
_COMMON = {"image": _TEXT, "domain": _TEXT, "label": _SHORT, "predicted": _SHORT, "tied": _SHORT}
_MEASURES = ("p_label", "p_max", "entropy", "margin")
RUN_COLUMNS = {**_COMMON, "forget": ("bool",), **dict.fromkeys(_MEASURES, _REAL)}
"""The columns of a run's predictions, and the allowed types of each."""
ROW_COLUMNS = {"run": _STEP, **_COMMON, **dict.fromkeys(_MEASURES, _STEP)}
"""The columns of a committed row's predictions, and the allowed types of each."""

_FOOTER = 2**20
_MOST_GROUPS = 64
_LONGEST_NAME = 512
_WIDTH = 2 * _LONGEST_NAME + 64
"""Most bytes of one prediction, unpacked, as declared: two names and eight numbers."""
_ENCODINGS = {"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}
"""Encodings whose output has the size that they declare; encodings with shared prefixes can grow without bound."""
_CODECS = {"UNCOMPRESSED", "SNAPPY", "ZSTD"}
_MEMORY = 4 * 2**30
_LIMITS = {"thrift_string_size_limit": _FOOTER, "thrift_container_size_limit": 4096}


def read_predictions(path: Path, columns: dict[str, tuple[str, ...]], count: int, name: str) -> pd.DataFrame:
    """Read a file of predictions.

    Parameters
    ----------
    path
        The Parquet file.
    columns
        `RUN_COLUMNS` or `ROW_COLUMNS`.
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
    _check_footer(path, name)
    try:
        with _memory_limit(), pq.ParquetFile(path, read_dictionary=["image", "domain"], **_LIMITS) as file:
            _check_metadata(file, columns, count, name)
            table = file.read(columns=list(columns), use_threads=False)
            _check_texts(table, name)
            frame = table.to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, MemoryError, ValueError, KeyError) as error:
        raise Refused(f"{name} cannot be read: {shown(error, 100)}") from error
    for column in ("image", "domain"):
        frame[column] = frame[column].astype(object)
    return frame


def _check_footer(path: Path, name: str) -> None:
    """Limit the size of the metadata before the library reads it; its length is stored before the last four bytes."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        handle.seek(max(0, size - 8))
        tail = handle.read()
    if len(tail) < 8 or tail[4:] != b"PAR1":
        raise Refused(f"{name} is not a Parquet file")
    (length,) = struct.unpack("<I", tail[:4])
    if length > min(_FOOTER, size):
        raise Refused(f"{name} has {length} bytes of metadata")


def _check_metadata(file: pq.ParquetFile, columns: dict[str, tuple[str, ...]], count: int, name: str) -> None:
    metadata = file.metadata
    if metadata.num_rows != count:
        raise Refused(f"{name} has {metadata.num_rows} predictions; the test images need {count}")
    if metadata.num_row_groups > _MOST_GROUPS:
        raise Refused(f"{name} has {metadata.num_row_groups} row groups; at most {_MOST_GROUPS} are read")
    found = {field.name: _plain_type(field.type) for field in file.schema_arrow}
    if len(file.schema_arrow) != len(columns) or set(found) != set(columns) or metadata.num_columns != len(columns):
        raise Refused(f"{name} has the columns {shown(', '.join(found), 100)}, not {', '.join(columns)}")
    for column, types in columns.items():
        if found[column] not in types:
            raise Refused(f"{name} has {shown(found[column])} in the column {column}, not {types[0]}")
    chunks = [
        metadata.row_group(group).column(place)
        for group in range(metadata.num_row_groups)
        for place in range(metadata.num_columns)
    ]
    for chunk in chunks:
        if chunk.compression not in _CODECS or not set(chunk.encodings) <= _ENCODINGS:
            raise Refused(f"{name} is compressed or encoded in an unusual way ({shown(chunk.compression)})")
    if sum(chunk.total_uncompressed_size for chunk in chunks) > count * _WIDTH + _FOOTER:
        raise Refused(f"{name} declares more bytes than {count} predictions can need")


def _plain_type(kind: pa.DataType) -> str:
    return str(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _check_texts(table: pa.Table, name: str) -> None:
    if any(table.column(column).null_count for column in table.column_names):
        raise Refused(f"{name} has missing values")
    for column in ("image", "domain"):
        for chunk in table.column(column).chunks:
            longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
            if longest > _LONGEST_NAME:
                raise Refused(f"{name} has a name of {longest} bytes in the column {column}")


@contextmanager
def _memory_limit() -> Iterator[None]:
    """Limit this process to four more gigabytes of memory, where the system supports it.

    A file can grow without bound when it is decoded, even if its metadata look normal; allocations over the limit fail.
    """
    import psutil

    try:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = psutil.Process().memory_info().vms + _MEMORY
        bounded = limit if soft == resource.RLIM_INFINITY else min(limit, soft)
        resource.setrlimit(resource.RLIMIT_AS, (bounded, hard))
    except (ImportError, ValueError, OSError):
        # Windows has no such limit and macOS refuses it; there the checks of the metadata must be enough.
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
