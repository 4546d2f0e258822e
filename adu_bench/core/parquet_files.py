"""Read Parquet files that a stranger may have written: few bytes of one can stand for very many values."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_FOOTER = 2**20
_MOST_GROUPS = 4096
_ENCODINGS = {"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}
"""Encodings whose output has the size that they declare; encodings with shared prefixes can grow without bound."""
_CODECS = {"UNCOMPRESSED", "SNAPPY", "ZSTD"}
_MEMORY = 4 * 2**30
_LIMITS = {"thrift_string_size_limit": _FOOTER, "thrift_container_size_limit": 65536}
DAMAGES = (OSError, ValueError, MemoryError, KeyError, OverflowError, pa.ArrowException)
"""What reading a damaged file raises."""
_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def opened(
    content: bytes, rows: int, size: int, texts: Sequence[str] = (), *, foreign: bool = False
) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file whose metadata are within bounds; while it is open, memory is limited where that is possible.

    Parameters
    ----------
    content
        The bytes of the file.
    rows
        The largest number of rows.
    size
        The largest number of bytes that its columns may declare, before dictionaries are applied.
    texts
        Columns that are read as dictionaries, if the file has them: then a repeated text takes memory once.
    foreign
        Whether other programs write such files: then all compressions and encodings are accepted.

    Raises
    ------
    ValueError
        If it is not such a file; the message starts with a verb.  Reading may raise `DAMAGES`.
    """
    _check_footer(content)
    with _memory_limit():
        with pq.ParquetFile(pa.BufferReader(content), **_LIMITS) as file:
            _check_metadata(file.metadata, rows, size, foreign)
            there = [one.name for one in file.schema_arrow if one.name in texts and is_text(one.type)]
        with pq.ParquetFile(pa.BufferReader(content), read_dictionary=there, **_LIMITS) as file:
            yield file


def read_table(content: bytes, rows: int, size: int, texts: Sequence[str] = ()) -> pa.Table:
    """Read a whole Parquet file; parameters and errors as in `opened`."""
    with opened(content, rows, size, texts) as file:
        return file.read(use_threads=False)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds texts, as a dictionary or plainly."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def plain_type(kind: pa.DataType) -> str:
    """Return the name of a type, or of what its dictionary holds."""
    return str(kind.value_type if pa.types.is_dictionary(kind) else kind)


def longest_text(column: pa.ChunkedArray) -> int:
    """Return the length in bytes of the longest text in a column of texts; 0 without any."""
    chunks = (chunk.dictionary if isinstance(chunk, pa.DictionaryArray) else chunk for chunk in column.chunks)
    return max((pc.max(pc.binary_length(chunk)).as_py() or 0 for chunk in chunks), default=0)


def _check_footer(content: bytes) -> None:
    """Limit the size of the metadata before the library reads it; its length is stored before the last four bytes."""
    if len(content) < 12 or content[-4:] != b"PAR1":
        raise ValueError("is not a Parquet file")
    (length,) = struct.unpack("<I", content[-8:-4])
    if length > min(_FOOTER, len(content)):
        raise ValueError(f"has {length} bytes of metadata")


def _check_metadata(metadata: pq.FileMetaData, rows: int, size: int, foreign: bool) -> None:
    if metadata.num_rows > rows:
        raise ValueError(f"has {metadata.num_rows:,} rows; at most {rows:,} are read")
    if metadata.num_row_groups > _MOST_GROUPS:
        raise ValueError(f"has {metadata.num_row_groups} row groups; at most {_MOST_GROUPS} are read")
    declared = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(metadata.num_columns)):
            if not foreign and (chunk.compression not in _CODECS or not set(chunk.encodings) <= _ENCODINGS):
                raise ValueError(f"is compressed or encoded in an unusual way ({chunk.compression[:40]})")
            declared += max(0, chunk.total_uncompressed_size)
    if declared > size:
        raise ValueError(f"declares {declared:,} bytes; at most {size:,} are read")


@contextmanager
def _memory_limit() -> Iterator[None]:
    """Limit this process to four more gigabytes of memory, where the system supports it.

    A file can grow without bound when it is decoded, even if its metadata look normal; allocations over the limit fail.
    """
    import psutil

    with _ONE_AT_A_TIME:  # two threads could each restore the other's limit
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
