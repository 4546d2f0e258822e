"""A folder of finished runs; the name of each is its key, the hash of its spec.

``<root>/<key>/`` contains a finished run: run.json (spec, environment, timings, checksums), predictions.parquet,
features.safetensors, train.jsonl and method.safetensors.  ``<root>/failures/<key>/error.json`` says why a run failed,
and ``<root>/artefacts/<key>/`` contains what was computed from a run later (`adu_bench.store.artefacts`).
A run's directory is created by one rename after all its files are on disk, so an existing directory is complete.  A run
that is made again keeps its old directory under another name until then, and `Store.sweep` puts back what a kill left
there.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from adu_bench.core.errors import UserError
from adu_bench.core.files import write_text
from adu_bench.core.hashing import KEY_LENGTH, digest, file_sha256
from adu_bench.core.specs import RunSpec

FORMAT = 2
_TEMPORARY, _REPLACED = ".tmp-", ".old-"
"""Beginnings of the names of a run's folder while it is being written, and while the new one takes its place."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Parameters
    ----------
    path
        Its directory.
    info
        The content of run.json.
    """

    path: Path
    info: dict[str, Any]

    @property
    def key(self) -> str:
        """The hash of the spec; it is also the directory's name."""
        return self.info["key"]

    @property
    def spec(self) -> RunSpec:
        """The spec of the run."""
        return RunSpec.from_dict(self.info["spec"])

    @property
    def label(self) -> str:
        """The method's label when the run was planned, for example ``adu[gamma=3.0]``."""
        return self.info["label"]

    @property
    def measured(self) -> dict[str, float]:
        """What the run cost, by name (trainable_parameters, peak_memory_mb, image_passes, seconds)."""
        return self.info["measured"]

    @property
    def finished(self) -> str:
        """Time when it finished, ISO 8601."""
        return self.info["finished"]

    @property
    def environment(self) -> dict[str, str]:
        """Versions of the software, and the device."""
        return self.info["environment"]

    def predictions(self) -> pd.DataFrame:
        """Return one row per test image; the columns are those of `adu_bench.runner.evaluate.predict`.

        Raises
        ------
        UserError
            If the file is missing or its checksum is wrong.
        """
        return pd.read_parquet(self.file("predictions.parquet"))

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
            If the file is missing or its checksum is wrong.
        """
        from safetensors.numpy import load_file

        stored = load_file(self.file("features.safetensors"))
        return stored["features"], stored["rows"]

    def file(self, name: str) -> Path:
        """Return the path of one of the run's files.

        Raises
        ------
        UserError
            If it is missing or its checksum is wrong.
        """
        path = self.path / name
        if not path.is_file() or file_sha256(path) != self.info["checksums"].get(name):
            raise UserError(
                f"The run '{self.path}' is damaged.",
                f"Its file {name} is missing or was changed after the run.",
                f"Delete the folder and run again: rm -r '{self.path}'",
            )
        return path


class Store:
    """The runs in one folder; creating a `Store` does not access the disk."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def has(self, key: str) -> bool:
        """Return whether a run is finished."""
        return (self.root / key / "run.json").is_file()

    def load(self, key: str) -> Run:
        """Return a finished run.

        Raises
        ------
        UserError
            If there is none, or its run.json is not readable or belongs to another key.
        """
        path = self.root / key
        try:
            info = json.loads((path / "run.json").read_text(encoding="utf-8"))
            matches = info["format"] == FORMAT and info["key"] == key and RunSpec.from_dict(info["spec"]).key == key
            matches = matches and info.pop("digest") == digest(info)
        except (OSError, ValueError, KeyError, TypeError) as error:
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
        return Run(path, info)

    def damage(self, key: str) -> str:
        """Return what is wrong with the files of a finished run, in a sentence or two; empty if nothing is."""
        try:
            run = self.load(key)
            for name in run.info["checksums"]:
                run.file(name)
        except UserError as error:
            return f"{error.what} {error.why}"
        return ""

    def remove(self, key: str) -> None:
        """Delete a finished run, unless another process is making it again."""
        with self.lock(key) as ours:
            if ours:
                shutil.rmtree(self.root / key)

    def keys(self) -> list[str]:
        """Return the keys of all finished runs, sorted."""
        if not self.root.is_dir():
            return []
        names = (path.name for path in self.root.iterdir())
        return sorted(name for name in names if len(name) == KEY_LENGTH and self.has(name))

    def runs(self, keys: Iterable[str] | None = None) -> list[Run]:
        """Return all finished runs, or those with the given keys that are finished."""
        return [self.load(key) for key in (self.keys() if keys is None else keys) if self.has(key)]

    @contextmanager
    def lock(self, key: str) -> Iterator[bool]:
        """Lock a run for this process; yields False if another process has locked it."""
        folder = self._made(self.root / ".locks")
        lock = FileLock(folder / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    @contextmanager
    def begin(self, key: str) -> Iterator[Path]:
        """Yield an empty folder for a run's files; afterwards it becomes the run, or is deleted after an error.

        The caller must hold `lock`, and write run.json with `finish`.
        """
        temporary = self.root / f"{_TEMPORARY}{key}"
        # A killed process may have left its folder; because of the lock no process uses it.
        shutil.rmtree(temporary, ignore_errors=True)
        self._put_back(key)
        self._made(temporary)
        try:
            yield temporary
            for path in temporary.iterdir():
                _sync(path)
            _sync(temporary)
            target = self.root / key
            if target.exists():
                target.rename(self.root / f"{_REPLACED}{key}")
            temporary.rename(target)
            _sync(self.root)
        except BaseException:
            self._put_back(key)
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self._put_back(key)
        shutil.rmtree(self.root / "failures" / key, ignore_errors=True)

    def sweep(self) -> None:
        """Put back or delete the folders that killed processes left."""
        for path in sorted(self.root.glob(f"{_TEMPORARY}*")) + sorted(self.root.glob(f"{_REPLACED}*")):
            key = path.name.split("-", 1)[1]
            with self.lock(key) as ours:
                if ours:
                    self._put_back(key)
                    shutil.rmtree(self.root / f"{_TEMPORARY}{key}", ignore_errors=True)

    def _put_back(self, key: str) -> None:
        """Delete a run that was replaced, or restore it if nothing took its place."""
        replaced = self.root / f"{_REPLACED}{key}"
        if replaced.exists() and not (self.root / key).exists():
            replaced.rename(self.root / key)
        shutil.rmtree(replaced, ignore_errors=True)

    def finish(self, folder: Path, spec: RunSpec, label: str, **info: Any) -> None:
        """Write run.json, with checksums of the other files and of itself, into a folder from `begin`."""
        record = {
            "format": FORMAT,
            "key": spec.key,
            "label": label,
            "spec": spec.to_dict(),
            "finished": _now(),
            **info,
            "checksums": {path.name: file_sha256(path) for path in sorted(folder.iterdir())},
        }
        record["digest"] = digest(record)
        (folder / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def fail(self, spec: RunSpec, label: str, kind: str, reason: str, traceback: str = "") -> None:
        """Record why a run failed; the run does not count as finished and is tried again next time."""
        folder = self._made(self.root / "failures" / spec.key)
        record = {
            "key": spec.key,
            "label": label,
            "kind": kind,
            "reason": reason,
            "when": _now(),
            "spec": spec.to_dict(),
            "traceback": traceback,
        }
        write_text(folder / "error.json", json.dumps(record, indent=1) + "\n")

    def failure(self, key: str) -> dict[str, Any] | None:
        """Return the record of a run's last failure, or None if there is none."""
        try:
            return json.loads((self.root / "failures" / key / "error.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def require_writable(self) -> None:
        """Check that runs can be written.

        Raises
        ------
        UserError
            If the folder cannot be created or written.
        """
        probe = self._made(self.root) / f".probe-{os.getpid()}"
        try:
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise _unwritable(self.root, error) from error

    def _made(self, folder: Path) -> Path:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.root, error) from error
        return folder


def _unwritable(root: Path, error: OSError) -> UserError:
    return UserError(
        f"The output folder '{root}' cannot be written.",
        f"{error.strerror or error}.",
        "Choose another folder with --out.",
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
