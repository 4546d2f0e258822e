"""An index of the runs in a folder: one file beside them that saves reading every run.json again.

It is never the truth.  An entry counts only while size, times and inode of its run.json are those of when it was read;
what is missing, changed or damaged is read again, and so is everything where the index itself is damaged.  It can be
deleted at any time, and a folder that cannot be written does without.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adu_bench.core.hashing import canonical_json
from adu_bench.core.sealed import read_sealed, write_sealed
from adu_bench.core.specs import RunSpec, Task
from adu_bench.store.run import FORMAT, Run
from adu_bench.store.signature import Signature

FILE = ".index"
"""A sealed Parquet file: pages of Parquet have checksums, its footer has none."""
_VERSION = f"index 1, run {FORMAT}".encode()


@dataclass
class Index:
    """The entries of a folder's index, by key.

    Parameters
    ----------
    root
        The folder of the runs.
    stored
        The entries of the file; None where there is none or it cannot be used.
    """

    root: Path
    stored: _Stored | None = None
    _new: dict[str, tuple[Signature, Run]] = field(default_factory=dict)
    _changed: bool = False
    _tasks: dict[str, Task] = field(default_factory=dict)
    _rests: dict[str, RunSpec] = field(default_factory=dict)

    @staticmethod
    def read(root: Path) -> Index:
        """Return the index of a folder; empty where there is none or it cannot be used."""
        try:
            table = pq.read_table(pa.BufferReader(read_sealed(root / FILE)))
            if table.schema.metadata.get(b"adu_bench") != _VERSION:
                return Index(root)
            return Index(root, _Stored(root, table))
        except (OSError, ValueError, pa.ArrowException):
            return Index(root)

    def find(self, key: str, signature: Signature) -> Run | None:
        """Return a run if its entry is current."""
        if key in self._new:
            known, run = self._new[key]
            return run if known == signature else None
        return self.stored.find(key, signature) if self.stored is not None else None

    def add(self, run: Run, signature: Signature) -> Run:
        """Enter a run that was read, with the signature from before it was read, and return it.

        The run that is returned shares its task and method with others: class names of a thousand runs fill memory.
        """
        spec = run.spec
        task = self._tasks.setdefault(spec.task.json, spec.task)
        rest = self._rests.setdefault(_rest(spec), spec)
        run = replace(run, spec=replace(rest, task=task, seed=spec.seed))
        if signature.settled:
            self._new[run.key] = signature, run
            self._changed = True
        return run

    def drop(self, key: str) -> None:
        """Remove a run that is gone."""
        in_file = self.stored is not None and self.stored.rows.pop(key, None) is not None
        self._changed |= in_file or key in self._new
        self._new.pop(key, None)

    def keep(self, keys: Set[str]) -> None:
        """Remove all runs but these."""
        known = set(self._new) | (set(self.stored.rows) if self.stored is not None else set())
        for key in known - keys:
            self.drop(key)

    def write(self) -> None:
        """Store the index if it changed; without effect where that is not possible."""
        if not self._changed:
            return
        table = _table(self._new)
        if self.stored is not None:
            table = pa.concat_tables([self.stored.without(self._new), table]).unify_dictionaries()
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd")
        with suppress(OSError):
            write_sealed(self.root / FILE, buffer.getvalue().to_pybytes())


def _table(entries: Mapping[str, tuple[Signature, Run]]) -> pa.Table:
    runs = [run for _, run in entries.values()]
    numbers = np.array([signature for signature, _ in entries.values()], np.uint64).reshape(-1, len(Signature._fields))
    columns = {
        "key": pa.array(list(entries), pa.string()),
        **{name: pa.array(numbers[:, place]) for place, name in enumerate(Signature._fields)},
        "seed": pa.array([run.spec.seed for run in runs], pa.int64()),
        # Few tasks and methods make many runs, so each is stored and read once.
        "task": _coded([run.spec.task.json for run in runs]),
        "rest": _coded([_rest(run.spec) for run in runs]),
        "label": _coded([run.label for run in runs]),
        "measured": pa.array([canonical_json(run.measured) for run in runs], pa.string()),
        "finished": pa.array([run.finished for run in runs], pa.string()),
    }
    return pa.table(columns).replace_schema_metadata({b"adu_bench": _VERSION})


def _rest(spec: RunSpec) -> str:
    """Return a spec without its task and seed as JSON that `RunSpec.from_dict` reads."""
    names = ("backbone", "method", "training", "supervision")
    parts = [f'"{name}":{getattr(spec, name).json}' for name in names]
    return "{" + ",".join([*parts, f'"protocol":{canonical_json(spec.protocol)}']) + "}"


def _coded(texts: list[str]) -> pa.DictionaryArray:
    places: dict[str, int] = {}
    codes = np.array([places.setdefault(text, len(places)) for text in texts], np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(places), pa.string()))


class _Stored:
    """The entries of an index file; a run is made from them when it is asked for, since most commands read few."""

    def __init__(self, root: Path, table: pa.Table) -> None:
        self.root, self.table = root, table
        self.rows = {key: row for row, key in enumerate(table["key"].to_pylist())}
        """The row of each entry that was not dropped, by key."""
        self._signatures = list(zip(*(table[name].to_pylist() for name in Signature._fields), strict=True))
        names = ("seed", "measured", "finished")
        self._values = list(zip(*(table[name].to_pylist() for name in names), strict=True))
        tasks, self._task = self._decoded("task")
        rests, self._rest = self._decoded("rest")
        self._labels, self._label = self._decoded("label")
        self._tasks = [Task.from_dict(json.loads(text)) for text in tasks]
        self._specs = [
            RunSpec.from_dict({**json.loads(text), "seed": 0, "task": json.loads(tasks[0])}) for text in rests
        ]

    def find(self, key: str, signature: Signature) -> Run | None:
        """Return a run if its entry is current."""
        row = self.rows.get(key)
        if row is None or self._signatures[row] != signature:
            return None
        seed, measured, finished = self._values[row]
        spec = replace(self._specs[self._rest[row]], task=self._tasks[self._task[row]], seed=seed)
        return Run(self.root / key, spec, self._labels[self._label[row]], json.loads(measured), finished)

    def without(self, keys: Container[str]) -> pa.Table:
        """Return the entries that were not dropped, less those with some keys."""
        return self.table.take(pa.array([row for key, row in self.rows.items() if key not in keys], pa.int64()))

    def _decoded(self, name: str) -> tuple[list[str], list[int]]:
        """Return the different texts of a column, and the place of each row's text among them."""
        column = self.table[name].unify_dictionaries().combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0)
        return column.dictionary.to_pylist(), column.indices.to_pylist()
