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
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar

from adu_bench.core.errors import RunFailed, UserError
from adu_bench.core.files import read_text, write_text
from adu_bench.core.hashing import KEY_LENGTH, digest, file_sha256
from adu_bench.core.specs import BackboneSpec, RunSpec
from adu_bench.store.index import Index
from adu_bench.store.locks import STALE, Lock
from adu_bench.store.run import FORMAT, LARGEST, Run, read_run
from adu_bench.store.signature import Signature

T = TypeVar("T")
_PAUSE = 2.0
"""Seconds between two attempts to lock a run."""
_TEMPORARY, _REPLACED = ".tmp-", ".old-"
"""Beginnings of the names of a run's folder while it is being written, and while the new one takes its place."""


class Store:
    """The runs in one folder; creating a `Store` does not access the disk."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._locks: dict[str, Lock] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the folder; locks stay in the process that holds them."""
        return Store, (self.root,)

    def has(self, key: str) -> bool:
        """Return whether a run is finished."""
        # Not by way of a Path, which takes longer to build than the file takes to find; nor by `os.path.isfile`, which
        # takes a folder that cannot be read for an empty one.
        try:
            return S_ISREG(os.stat(f"{self.root}/{key}/run.json").st_mode)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return False

    def size(self, key: str) -> int:
        """Return the bytes of a finished run's files."""
        return sum(path.stat().st_size for path in (self.root / key).iterdir())

    def load(self, key: str) -> Run:
        """Return a finished run.

        Raises
        ------
        UserError
            If there is none, or its run.json is not readable or belongs to another key.
        """
        return read_run(self.root / key)

    def find(self, start: str) -> Run:
        """Return the finished run whose key begins with some characters.

        Raises
        ------
        UserError
            If there is none or more than one, or as in `load`.
        """
        found = [key for key in self.keys() if start and key.startswith(start)]
        if len(found) != 1:
            there = f"{len(found)} keys begin like this: {', '.join(found[:3])}" if found else "No key begins like this"
            raise UserError(
                f"'{start}' does not name a finished run in '{self.root}'.",
                f"{there}.",
                "The keys are the names of the folders there, and adu-bench run --dry prints those of a plan.",
            )
        return self.load(found[0])

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
        return [name for name in self._names() if self.has(name)]

    def runs(self, keys: Iterable[str] | None = None) -> list[Run]:
        """Return all finished runs, or those with the given keys that are finished.

        A run.json that did not change since it was last read comes from the index, see `adu_bench.store.index`.

        Raises
        ------
        UserError
            As in `load`.
        """
        index, found = Index.read(self.root), []
        if keys is None:
            keys = self._names()
            index.keep(set(keys))
        try:
            for key in keys:
                if (run := self._indexed(key, index)) is not None:
                    found.append(run)
        finally:
            index.write()
        return found

    def _indexed(self, key: str, index: Index) -> Run | None:
        """Return a finished run, from the index if it did not change; None if there is none."""
        signature = Signature.of(self.root / key / "run.json")
        if signature is None:
            index.drop(key)
            return None
        return index.find(key, signature) or index.add(self.load(key), signature)

    def _names(self) -> list[str]:
        """Return the names, sorted, that may be keys of runs."""
        if not self.root.is_dir():
            return []
        return sorted(name for name in os.listdir(self.root) if len(name) == KEY_LENGTH)

    def backbones(self, dataset: str) -> list[BackboneSpec]:
        """Return the backbones of the finished runs on a data set, each once; damaged runs are passed over."""
        found: dict[BackboneSpec, None] = {}
        index = Index.read(self.root)
        for key in self._names():
            with suppress(UserError):
                run = self._indexed(key, index)
                if run is not None and run.spec.task.dataset == dataset:
                    found.setdefault(run.spec.backbone)
        index.write()
        return list(found)

    @contextmanager
    def lock(self, key: str) -> Iterator[bool]:
        """Lock a run for this process; yields False if another process, here or on another machine, has locked it.

        Raises
        ------
        UserError
            If the folder cannot be written.
        """
        try:
            lock = Lock(self._made(self.root / ".locks"), key)
            ours = lock.acquire()
        except OSError as error:
            raise _unwritable(self.root, error) from error
        if not ours:
            yield False
            return
        self._locks[key] = lock
        try:
            yield True
        finally:
            del self._locks[key]
            lock.release()

    @contextmanager
    def turn(self, key: str, left: Callable[[], T], patience: float = 0.0) -> Iterator[T | None]:
        """Lock a run for work, and yield what is left to do; None if another process has the run.

        Parameters
        ----------
        key
            The run's key.
        left
            Returns what is left to do; something false if all is done.
        patience
            Seconds to wait for the other process, which may be on a machine that is gone.

        Raises
        ------
        UserError
            As `lock`.
        """
        deadline = time.monotonic() + patience
        while True:
            with self.lock(key) as ours:
                todo = left()
                if ours or not todo or time.monotonic() >= deadline:
                    yield todo if ours else None
                    return
            time.sleep(_PAUSE)

    @contextmanager
    def begin(self, key: str) -> Iterator[Path]:
        """Yield an empty folder for a run's files; afterwards it becomes the run, or is deleted after an error.

        The caller must hold `lock`, and write run.json with `finish`.

        Raises
        ------
        RunFailed
            If another machine has taken over the lock meanwhile.
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
            if key in self._locks and not self._locks[key].held:
                raise RunFailed(f"This process stood still for over {STALE:.0f} s, and another one took over its run.")
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

    def receive(self, key: str, other: Store, force: bool = False) -> None:
        """Copy a run, or the record of its failure, from another store, unless this one has the run.

        Parameters
        ----------
        key
            The run.
        other
            The other store.
        force
            Replace a run.
        """
        with self.lock(key) as ours:
            if ours and other.has(key) and (force or not self.has(key)):
                with self.begin(key) as folder:
                    shutil.copytree(other.root / key, folder, dirs_exist_ok=True)
        if other.failure(key) is not None:
            folder = self._made(self.root / "failures" / key)
            write_text(folder / "error.json", read_text(other.root / "failures" / key / "error.json", LARGEST))

    def failed(self) -> set[str]:
        """Return the keys of all runs whose last attempt failed."""
        try:
            return set(os.listdir(self.root / "failures"))
        except OSError:
            return set()

    def failure_file(self, key: str) -> Path:
        """Return the JSON file with the reason and the traceback of a run's last failure."""
        return self.root / "failures" / key / "error.json"

    def failure(self, key: str) -> dict[str, Any] | None:
        """Return the record of a run's last failure, or None if there is none."""
        try:
            return json.loads(read_text(self.failure_file(key), LARGEST))
        except (OSError, ValueError, RecursionError):
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
