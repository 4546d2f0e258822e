"""Rows that are computed once: records of one size in append-only files, found by the digest of their content."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from adu_bench.core.errors import UserError
from adu_bench.core.files import replacing
from adu_bench.core.paths import cache_dir
from adu_bench.core.progress import Count, uncounted
from adu_bench.core.words import counted
from adu_bench.data.cache import SUM, tell_made_again, usable

KEY = np.dtype("S32")
"""A SHA-256, as bytes."""
SPARE = 2**30
"""Bytes that must remain free on the disk."""

Block = tuple[np.ndarray, np.ndarray]
"""Positions among the keys that were asked for, int64 (n,), and their rows, (n, ...)."""


def keys_of(sha256: Iterable[str]) -> np.ndarray:
    """Return hexadecimal SHA-256 digests as keys, (N,)."""
    return np.frombuffer(bytes.fromhex("".join(sha256)), KEY)


class RowCache:
    """Rows by key, on disk, shared by processes.

    The file ``rows`` holds the records, ``sums`` the CRC-32 of each, and ``keys`` the digest of what each was made
    from.  A record counts once its key is written, which happens after the record is on the disk: a killed process
    loses only the block that it was making.  Records that count never change, so that readers need no lock; writers
    take turns.  A process checks a record before it first uses it; the key of a damaged one is erased, and its row
    computed again.

    Parameters
    ----------
    name
        Name of the folder below the cache folder.  It must name everything that decides the rows, except the content.
    shape, dtype
        Of one row.
    about
        What the rows are, for people who open the folder; plain JSON values.
    """

    def __init__(self, name: str, shape: tuple[int, ...], dtype: Any, about: dict[str, Any]) -> None:
        self.folder = cache_dir() / name
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.about = {**about, "shape": shape, "dtype": str(self.dtype), "keys": "SHA-256 of the image, 32 bytes"}
        self._record = self.dtype.itemsize * int(np.prod(shape))
        self._checked = np.zeros(0, bool)
        with usable():
            self._read()

    def places(self, keys: np.ndarray) -> np.ndarray:
        """Return where in `rows` the rows of keys are, int64 (N,), -1 where they are not stored."""
        if not len(self._sorted):
            return np.full(len(keys), -1)
        near = np.searchsorted(self._sorted, keys).clip(max=len(self._sorted) - 1)
        return np.where(self._sorted[near] == keys, self._order[near], -1)

    def ensure(
        self, keys: np.ndarray, make: Callable[[np.ndarray], Iterable[Block]], report: Count = uncounted
    ) -> None:
        """Compute the rows of those keys that are not stored, or whose bytes are not the ones that were computed.

        Parameters
        ----------
        keys
            (N,), as `keys_of` returns them.
        make
            Given positions in ``keys`` whose rows are wanted, yields them block by block, in any order; rows that it
            leaves out are not stored.
        report
            Called with the numbers of rows stored and asked for, also while another process computes.

        Raises
        ------
        UserError
            If the cache folder cannot be written, the disk is too small, or rows are damaged as soon as written.
        """
        if not len(self._missing(keys)) and not len(self._damaged(keys)):
            return
        with usable():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = self._wait_for_turn(keys, report)
        try:
            with usable():
                self._read()
                self._erase(self._damaged(keys))
            missing = self._missing(keys)
            self._require_space(len(missing))
            done, total = len(keys) - len(missing), len(keys)
            for which, rows in make(missing) if len(missing) else ():
                with usable():
                    self._append(keys[which], rows)
                done += len(which)
                report(done, total)
            with usable():
                self._read()
        finally:
            lock.release()
        wrong = self._damaged(keys)
        if len(wrong):
            raise UserError(
                f"{len(wrong):,} of the rows in '{self.folder}' are damaged.",
                "They were just computed, and other bytes are read than were written: the disk may be failing.",
                "Set ADU_BENCH_CACHE to a folder on another disk.",
            )

    def _damaged(self, keys: np.ndarray) -> np.ndarray:
        """Return the places of keys whose rows differ from their checksums; each is compared once in this process."""
        places = np.unique(self.places(keys))
        places = places[places >= 0]
        places = places[~self._checked[places]]
        sums = np.fromfile(self.folder / "sums", SUM) if len(places) else np.empty(0, SUM)
        right = np.array([zlib.crc32(self.rows[place].tobytes()) == sums[place] for place in places], bool)
        self._checked[places[right]] = True
        return places[~right]

    def _erase(self, places: np.ndarray) -> None:
        """Erase the keys of damaged rows, so that they are missing."""
        if not len(places):
            return
        tell_made_again(f"{counted(len(places), 'row')} in '{self.folder}'")
        keys = np.fromfile(self.folder / "keys", KEY)
        keys[places] = b""
        with replacing(self.folder / "keys") as temporary:
            keys.tofile(temporary)
        self._read()

    def _missing(self, keys: np.ndarray) -> np.ndarray:
        """Return positions of keys that are not stored, each key once."""
        absent = np.flatnonzero(self.places(keys) < 0)
        return np.sort(absent[np.unique(keys[absent], return_index=True)[1]])

    def _wait_for_turn(self, keys: np.ndarray, report: Count) -> FileLock:
        lock = FileLock(self.folder / "lock")
        while True:
            try:
                lock.acquire(timeout=1)
                return lock
            except Timeout:
                self._read()
                report(int((self.places(keys) >= 0).sum()), len(keys))

    def _require_space(self, count: int) -> None:
        needed, free = count * self._record, shutil.disk_usage(self.folder).free
        if needed + SPARE > free:
            raise UserError(
                f"The cache folder '{cache_dir()}' has too little space.",
                f"{count:,} rows need {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free.",
                "Set ADU_BENCH_CACHE to a folder on a larger disk, or delete old entries of this one.",
            )

    def _read(self) -> None:
        """Open what is stored now."""
        try:
            keys = np.fromfile(self.folder / "keys", KEY)
            sums = (self.folder / "sums").stat().st_size // SUM.itemsize
            count = min(len(keys), sums, (self.folder / "rows").stat().st_size // self._record)
        except FileNotFoundError:
            count = 0
        if count == 0:
            keys = np.empty(0, KEY)
            self.rows = np.empty((0, *self.shape), self.dtype)
        else:
            self.rows = np.memmap(self.folder / "rows", self.dtype, "r", shape=(count, *self.shape))
        self._checked = np.concatenate([self._checked[:count], np.zeros(max(0, count - len(self._checked)), bool)])
        self._order = np.argsort(keys[:count], kind="stable")
        self._sorted = keys[self._order]

    def _append(self, keys: np.ndarray, rows: np.ndarray) -> None:
        about = self.folder / "about.json"
        if not about.exists():
            about.write_text(json.dumps(self.about, indent=1) + "\n", encoding="utf-8")
        sizes = (("keys", KEY.itemsize), ("sums", SUM.itemsize), ("rows", self._record))
        count = min(_size(self.folder / name) // size for name, size in sizes)
        rows = np.ascontiguousarray(rows, self.dtype)
        sums = np.array([zlib.crc32(row.tobytes()) for row in rows], SUM)
        _write_at(self.folder / "rows", count * self._record, rows.data.cast("B"))
        _write_at(self.folder / "sums", count * SUM.itemsize, sums.tobytes())
        _write_at(self.folder / "keys", count * KEY.itemsize, keys.tobytes())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _write_at(path: Path, end: int, data: memoryview | bytes) -> None:
    """Write after the first ``end`` bytes, over what an interrupted writer left there."""
    with path.open("r+b" if path.exists() else "xb") as handle:
        handle.truncate(end)
        handle.seek(end)
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
