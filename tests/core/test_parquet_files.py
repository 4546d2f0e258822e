"""Parquet files that stand for more than they may."""

from __future__ import annotations

import resource
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adu_bench.core.parquet_files import DAMAGES, opened, read_table


def packed(table: pa.Table, **options) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


def repeated(text: str, rows: int) -> pa.Table:
    return pa.table({"a": pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))})


def test_a_table_within_bounds_is_read():
    table = pa.table({"a": ["x", "y", "x"], "n": [1, 2, 3]})
    found = read_table(packed(table), 3, 10_000, texts=("a", "absent"))
    assert pa.types.is_dictionary(found["a"].type)
    assert found.to_pandas()["a"].tolist() == ["x", "y", "x"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (packed(repeated("x", 11)), "has 11 rows"),
        (packed(repeated("x" * 200_000, 5)), "declares"),
        (packed(pa.table({"a": ["x"]}), compression="gzip"), "unusual"),
        (packed(pa.table({"a": ["x"]}), use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"}), "unusual"),
        (b"x" * 100 + b"\xff\xff\xff\x7fPAR1", "bytes of metadata"),
        (b"", "not a Parquet file"),
    ],
)
def test_what_is_out_of_bounds_is_refused_unread(content, reason, monkeypatch):
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    with pytest.raises(ValueError, match=reason):
        read_table(content, 10, 100_000)


@pytest.mark.skipif(sys.platform != "linux", reason="this system cannot limit the memory of a process")
def test_memory_is_limited_while_a_file_is_open_only(monkeypatch):
    monkeypatch.setattr("adu_bench.core.parquet_files._MEMORY", 2**26)
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(DAMAGES), opened(packed(repeated("x" * 100_000, 50_000)), 10**6, 10**9) as file:
        file.read().column("a").cast(pa.string())
    assert resource.getrlimit(resource.RLIMIT_AS) == before
