"""A finished run, and how its directory is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adu_bench.core.errors import UserError
from adu_bench.core.files import read_bytes, read_text
from adu_bench.core.hashing import digest, file_sha256
from adu_bench.core.parquet_files import DAMAGES, read_table
from adu_bench.core.specs import RunSpec
from adu_bench.store.signature import Signature

FORMAT = 2
LARGEST = 100_000_000
"""Bound in bytes of a run's predictions and of its JSON files."""
_COLUMNS = {"image", "domain", "forget", "label", "predicted", "tied", "p_label", "p_max", "entropy", "margin"}
_MOST_IMAGES = 1_000_000
"""Bound of a task's test images."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Parameters
    ----------
    path
        Its directory.
    spec
        The spec of the run.
    label
        The method's label when the run was planned, for example ``adu[gamma=3.0]``.
    measured
        What the run cost, by name (trainable_parameters, peak_memory_mb, image_passes, seconds).
    finished
        Time when it finished, ISO 8601.
    """

    path: Path
    spec: RunSpec
    label: str
    measured: dict[str, float]
    finished: str

    @property
    def key(self) -> str:
        """The hash of the spec; it is also the directory's name."""
        return self.path.name

    @property
    def source(self) -> str:
        """Sizes, times and inodes of the files that metrics are computed from; empty until these have settled."""
        found = [Signature.of(self.path / name) for name in ("run.json", "predictions.parquet", "features.safetensors")]
        return str([tuple(one) for one in found if one]) if all(one and one.settled for one in found) else ""

    @cached_property
    def info(self) -> dict[str, Any]:
        """The content of run.json, read again.

        Raises
        ------
        UserError
            As in `read_run`.
        """
        return _checked(self.path)[0]

    @property
    def environment(self) -> dict[str, str]:
        """Versions of the software, and the device; errors as in `info`."""
        return self.info["environment"]

    def predictions(self) -> pd.DataFrame:
        """Return one row per test image; the columns are those of `adu_bench.runner.evaluate.predict`.

        Raises
        ------
        UserError
            If the file is missing or its checksum is wrong.
        """
        path = self.file("predictions.parquet")
        try:
            frame = read_table(read_bytes(path, LARGEST), _MOST_IMAGES, LARGEST).to_pandas()
            if lacking := _COLUMNS - set(frame.columns):
                raise ValueError(f"it lacks the column {min(lacking)}")
            return frame
        except DAMAGES as error:
            raise _damaged(self.path, f"Its file {path.name} cannot be read: {str(error)[:200]}") from error

    def training(self) -> pd.DataFrame:
        """Return what the method logged while it trained, in order; one row per entry, mostly one per epoch.

        Returns
        -------
        DataFrame
            Numbers; the columns are those of the entries, such as epoch, lr and the terms of the loss, and an entry
            without a value has NaN there.  Empty for methods that do not train.

        Raises
        ------
        UserError
            If the file is missing, its checksum is wrong, or a line is not an entry.
        """
        path = self.file("train.jsonl")
        try:
            entries = [json.loads(line) for line in read_text(path, LARGEST).splitlines()]
            return pd.DataFrame([dict(entry) for entry in entries]).astype(float)
        except (ValueError, TypeError, RecursionError) as error:
            raise _damaged(self.path, f"Its file {path.name} cannot be read: {str(error)[:200]}") from error

    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """Return features of a fixed subsample of the test images, and its positions in the predictions.

        Returns
        -------
        features : ndarray
            float16 (M, D), of unit length.
        rows : ndarray
            Integers (M,): positions in the predictions.

        Raises
        ------
        UserError
            If the file is missing, its checksum is wrong, or it does not hold these arrays.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self.file("features.safetensors")
        try:
            stored = load_file(path)
            features, rows = stored["features"], stored["rows"]
            if features.ndim != 2 or rows.shape != features.shape[:1] or rows.dtype.kind not in "iu":
                raise ValueError("its shapes do not fit")
        except (SafetensorError, KeyError, ValueError, TypeError, OSError, MemoryError) as error:
            raise _damaged(self.path, f"Its file {path.name} cannot be read: {str(error)[:200]}") from error
        return features, rows

    def file(self, name: str) -> Path:
        """Return the path of one of the run's files.

        Raises
        ------
        UserError
            If it is missing or its checksum is wrong.
        """
        path = self.path / name
        if not path.is_file() or file_sha256(path) != self.info["checksums"].get(name):
            raise _damaged(self.path, f"Its file {name} is missing or was changed after the run")
        return path


def read_run(path: Path) -> Run:
    """Return the run in a directory.

    Raises
    ------
    UserError
        If its run.json is missing or not readable, was changed after the run, or belongs to another key.
    """
    info, spec = _checked(path)
    return Run(path, spec, info["label"], info["measured"], info["finished"])


def _checked(path: Path) -> tuple[dict[str, Any], RunSpec]:
    try:
        info = json.loads(read_text(path / "run.json", LARGEST))
        spec = RunSpec.from_dict(info["spec"])
        matches = info["format"] == FORMAT and info["key"] == path.name == spec.key
        matches = matches and info.pop("digest") == digest(info)
        # Whoever changes a field can write a new digest too.
        for name, kind in (("label", str), ("finished", str), ("measured", dict), ("environment", dict)):
            if not isinstance(info[name], kind):
                raise TypeError(f"'{name}' is of another type than {kind.__name__}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"The run '{path}' cannot be read.",
            f"{type(error).__name__}: {error}.",
            f"Delete the folder and run again: rm -r '{path}'",
        ) from error
    if not matches:
        raise UserError(
            f"The run '{path}' does not match its name.",
            "Its run.json was changed after the run, or written by another version.",
            f"Delete the folder and run again: rm -r '{path}'",
        )
    return info, spec


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"The run '{path}' is damaged.", f"{why}.", f"Delete the folder and run again: rm -r '{path}'")
