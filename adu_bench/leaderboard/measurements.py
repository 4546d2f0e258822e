"""What audits found for the runs of committed rows, and for oracles: files in the folder ``audits`` beside the rows.

``measurements.parquet`` is written from folders of runs; ``oracle.csv`` holds the same of models that never saw a
forget domain, which are not runs and so have no key.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adu_bench.audits.catalogue import AuditEntry
from adu_bench.audits.results import audit_rows
from adu_bench.core.errors import UserError
from adu_bench.core.files import read_bytes, replacing
from adu_bench.core.parquet_files import DAMAGES, read_table
from adu_bench.metrics.frame import Scorable

_TYPES = {
    "key": str,
    "method": str,
    "task": str,
    "seed": np.int64,
    "audit": str,
    "metric": str,
    "value": np.float64,
    "n": np.int64,
    "code": str,
}
COLUMNS = tuple(_TYPES)
"""One row per run, audit and metric: values are rounded to nine decimals, ``n`` is the number of images, and ``code``
the digest of the audit's code, see `adu_bench.audits.catalogue.AuditEntry`."""
FOLDER, FILE, ORACLE_FILE = "audits", "measurements.parquet", "oracle.csv"
_TEXTS = tuple(name for name, kind in _TYPES.items() if kind is str)
_LARGEST = 50_000_000
"""Bound in bytes of these files."""
_MOST = 5_000_000
"""Bound of their rows."""
_LARGEST_VALUE = 1e15
ORACLE = "oracle"
"""The method in `ORACLE_FILE` that recoveries are compared with: a model that never saw the task's forget domains."""


def measurements_of(root: Path, suite: str, runs: Iterable[Scorable], known: Mapping[str, AuditEntry]) -> pd.DataFrame:
    """Return the current results of audits in a folder of runs, with the columns `COLUMNS`.

    Parameters
    ----------
    root
        The folder of the runs.
    suite
        The suite's name.
    runs
        The runs whose results count.
    known
        The audits, by name.
    """
    found = audit_rows(root, suite, ((run.label, run.spec) for run in runs), list(known.values()))
    codes = {name: entry.code for name, entry in known.items()}
    return found.assign(value=found["value"].round(9), code=found["audit"].map(codes))[list(COLUMNS)]


def merge(old: pd.DataFrame, new: pd.DataFrame, keys: Sequence[str], known: Mapping[str, AuditEntry]) -> pd.DataFrame:
    """Add measurements; a new one replaces the old one of the same run and audit, and stale ones are left out.

    Parameters
    ----------
    old, new
        Measurements.
    keys
        The keys of the runs of committed rows, in the order of the result.
    known
        The audits, by name.
    """
    done = set(zip(new["key"], new["audit"], strict=True))
    codes = {(name, entry.code) for name, entry in known.items()}
    keep = [
        (key, audit) not in done and (audit, code) in codes
        for key, audit, code in zip(old["key"], old["audit"], old["code"], strict=True)
    ]
    kept = old[np.array(keep, dtype=bool)]
    # Frames without rows have no types.
    parts = [frame for frame in (kept, new) if len(frame)]
    found = pd.concat(parts) if parts else kept
    found = found[found["key"].isin(keys)]
    audits, runs = (
        found[name].map({each: place for place, each in enumerate(order)})
        for name, order in (("audit", known), ("key", keys))
    )
    return found.iloc[np.lexsort((audits, runs))].reset_index(drop=True)


def write_measurements(folder: Path, suite: str, found: pd.DataFrame) -> Path:
    """Write the measurements of a suite's rows, and return the file; without measurements the file is removed."""
    path = folder / suite / FOLDER / FILE
    if found.empty:
        path.unlink(missing_ok=True)
        return path
    table = pa.table({name: _array(found[name], kind) for name, kind in _TYPES.items()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return path


def read_measurements(folder: Path, suite: str) -> pd.DataFrame:
    """Return the committed measurements of a suite; empty where there are none.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    path = folder / suite / FOLDER / FILE
    if not path.is_file():
        return pd.DataFrame(columns=list(COLUMNS))
    try:
        table = read_table(read_bytes(path, _LARGEST), _MOST, 10 * _LARGEST, texts=_TEXTS)
        if any(table.column(place).null_count for place in range(table.num_columns)):
            raise ValueError("a measurement lacks a value")
        return _checked(table.to_pandas(), _TYPES, "key")
    except (*DAMAGES, TypeError) as error:
        raise _damaged(path, error) from error


def read_oracle(folder: Path, suite: str) -> pd.DataFrame:
    """Return the measurements of models that never saw a forget domain: `COLUMNS` but the key; empty without any.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    path = folder / suite / FOLDER / ORACLE_FILE
    types = {name: kind for name, kind in _TYPES.items() if name != "key"}
    if not path.is_file():
        return pd.DataFrame(columns=list(types))
    try:
        found = pd.read_csv(io.BytesIO(read_bytes(path, _LARGEST)), dtype=types, keep_default_na=False)
        return _checked(found, types, "method", "task", "seed")
    except (OSError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def write_oracle(folder: Path, suite: str, found: pd.DataFrame) -> Path:
    """Write the measurements of oracles, see `read_oracle`, and return the file."""
    path = folder / suite / FOLDER / ORACLE_FILE
    with replacing(path) as temporary:
        found.to_csv(temporary, index=False)
    return path


def stale_measurements(found: pd.DataFrame, keys: Collection[str], known: Mapping[str, AuditEntry]) -> dict[str, str]:
    """Return what is stale among committed measurements.

    Parameters
    ----------
    found
        Measurements of runs, or of oracles, which have no column ``key``.
    keys
        The keys of the runs of committed rows.
    known
        The audits, by name.

    Returns
    -------
    dict
        The reason by audit, or by method where its measurements are of other runs than its row.
    """
    stale = {}
    for audit, codes in found.groupby("audit", sort=True)["code"].unique().items():
        entry = known.get(str(audit))
        if entry is None:
            stale[str(audit)] = "there is no such audit"
        elif set(codes) != {entry.code}:
            stale[str(audit)] = "the audit's code was changed since"
    if "key" in found:
        for method in found.loc[~found["key"].isin(keys), "method"].unique():
            stale[str(method)] = "measured on other runs than those of its row"
    return stale


def _array(values: pd.Series, kind: type) -> pa.Array:
    return (
        pa.array(values.astype(str).to_list()).dictionary_encode() if kind is str else pa.array(values.to_numpy(kind))
    )


def _checked(found: pd.DataFrame, types: Mapping[str, type], *of: str) -> pd.DataFrame:
    """Return measurements with their types; each of a model, named by the columns ``of``, must be there once."""
    if list(found.columns) != list(types):
        raise ValueError(f"the columns are not {', '.join(types)}")
    found = found.astype(dict(types))
    if not (found["value"].abs() < _LARGEST_VALUE).all() or (found["n"] < 0).any():
        raise ValueError("a value is not finite, or a number of images is below zero")
    if found.duplicated([*of, "audit", "metric"]).any():
        raise ValueError("a measurement is there twice")
    return found


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"The measurements in '{path}' are damaged.",
        f"{type(error).__name__}: {' '.join(str(error).split())[:200]}.",
        "Restore the file, or delete it and write it again with adu-bench leaderboard --write.",
    )
