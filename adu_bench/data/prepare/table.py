"""Read the user's list of images: a CSV or Parquet file with the columns path, domain, class and perhaps split."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from adu_bench.core.errors import UserError
from adu_bench.core.files import read_bytes
from adu_bench.core.parquet_files import DAMAGES, is_text, longest_text, opened

LARGEST = 1_000_000_000
"""Bound of a list's size in bytes; one of ten million images has half of it."""
MOST_ROWS = 10_000_000
LONGEST = 4096
"""Bound of a path or name in bytes."""
_NAMES = {"path": "path", "domain": "domain", "class": "label", "label": "label", "split": "pool", "pool": "pool"}
"""What the columns of a list are called, and what they are called here."""


def read_list(path: Path) -> pd.DataFrame:
    """Return the columns path, domain, label and pool of a list, as text; pool is empty where there is no split.

    Only an empty entry counts as absent: ``NA``, ``null`` and ``none`` are names.

    Raises
    ------
    UserError
        If it is not such a list; rows are counted without the header, from 1.
    """
    table = _read(path)
    given = [str(column) for column in table.columns]
    known = [column for column in given if column in _NAMES]
    for wanted in ("path", "domain", "label", "pool"):
        same = [column for column in known if _NAMES[column] == wanted]
        if len(same) > 1:
            raise UserError(
                f"'{path}' has the columns {' and '.join(same)}.",
                f"{'Both' if len(same) == 2 else 'All'} are names of one thing.",
                "Keep the columns path, domain, class and, if there is a split, split, once each.",
            )
        if not same and wanted != "pool":
            raise UserError(
                f"'{path}' lacks the column {'class' if wanted == 'label' else wanted}.",
                f"It has: {', '.join(given)[:200]}.",
                "Name the columns path, domain, class and, if there is a split, split.",
            )
    rows = pd.DataFrame({_NAMES[column]: table[column].fillna("").astype(str).to_numpy(object) for column in known})
    rows = rows if "pool" in rows else rows.assign(pool="")
    if rows.empty:
        raise UserError(f"'{path}' lists no image.", "It has a header and no rows.", "Give one row per image.")
    for column in ("path", "domain", "label"):
        empty = rows.index[rows[column].str.strip() == ""]
        if len(empty):
            name = "class" if column == "label" else column
            raise UserError(
                f"'{path}' has no {name} in row {empty[0] + 1}{_more(len(empty))}.",
                "Every row gives one image, its domain and its class.",
                "Complete or remove these rows.",
            )
    again = rows.index[rows["path"].duplicated()]
    if len(again):
        name = rows["path"][again[0]]
        first = rows.index[rows["path"] == name][0]
        raise UserError(
            f"'{path}' lists '{name}' in row {first + 1} and in row {again[0] + 1}{_more(len(again))}.",
            "Every row gives one image, its domain and its class.",
            "Remove the repeated rows.",
        )
    return rows[["path", "domain", "label", "pool"]]


def _read(path: Path) -> pd.DataFrame:
    try:
        content = read_bytes(path, LARGEST)
        if path.suffix.lower() == ".parquet":
            return _parquet(content)
        if b"\0" in content[:LONGEST]:
            raise ValueError("it is not text")
        # Given a header, pandas renames repeated columns, and shifts rows that are longer than it.
        table = pd.read_csv(io.BytesIO(content), dtype=str, header=None, keep_default_na=False, na_filter=False)
        return table[1:].set_axis(table.iloc[0].tolist(), axis=1).reset_index(drop=True)
    except DAMAGES as error:
        why = getattr(error, "strerror", None) or f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(
            f"'{path}' cannot be read as a table.",
            f"{why}.",
            "Give a .csv or .parquet file with the columns path, domain and class.",
        ) from error


def _parquet(content: bytes) -> pd.DataFrame:
    """Read the known columns of a Parquet file."""
    with opened(content, MOST_ROWS, LARGEST, tuple(_NAMES), foreign=True) as file:
        columns = [name for name in file.schema_arrow.names if name in _NAMES]
        # A file without the columns is told which it has instead.
        if not columns:
            return pd.DataFrame(columns=file.schema_arrow.names)
        table = file.read(columns=columns, use_threads=False)
        for name in columns:
            if is_text(table[name].type) and longest_text(table[name]) > LONGEST:
                raise ValueError(f"the column {name} has a text of more than {LONGEST:,} bytes")
        return table.to_pandas(ignore_metadata=True)


def _more(count: int) -> str:
    return f" (and {count - 1:,} more)" if count > 1 else ""
