"""Arrays made once and memory-mapped, shared by all runs and processes."""

from __future__ import annotations

import errno
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock

from adu_bench.core.errors import UserError, no_locks
from adu_bench.core.files import replacing
from adu_bench.core.paths import cache_dir

SUM = np.dtype("<u4")
"""A CRC-32."""


def cached(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return an array from the cache folder, making it first where it is missing or damaged.

    One process makes it while others wait; a killed process leaves nothing that could be mistaken for the array.  The
    file is a NumPy file followed by the CRC-32 of its bytes, which are compared whenever it is opened.

    Parameters
    ----------
    name
        Path of the entry below the cache folder, without suffix; it must name the content.
    make
        Computes the array.

    Raises
    ------
    UserError
        If the cache folder cannot be written.
    """
    path = cache_dir() / f"{name}.npy"
    with usable():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            found = _opened(path)
            if found is None:
                _write(path, make())
                found = _opened(path)
    assert found is not None
    return found


@contextmanager
def usable() -> Iterator[None]:
    """Turn a failure to read or write the cache folder into a `UserError` that names it."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOLCK:
            raise no_locks(f"The cache folder '{cache_dir()}'", error, "ADU_BENCH_CACHE") from error
        raise UserError(
            f"The cache folder '{cache_dir()}' cannot be used.",
            f"{type(error).__name__}: {error.strerror or error}.",
            "Set ADU_BENCH_CACHE to a folder that you may write to.",
        ) from error


def tell_made_again(what: str) -> None:
    """Tell the user that a part of the cache is made again, because its bytes are not those that were written."""
    print(f"{what} is damaged, or was written by another version; it is made again.", file=sys.stderr)


def _opened(path: Path) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        content, end = _summed(path)
        if content == end:
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):  # not even long enough
        pass
    tell_made_again(f"'{path}'")
    return None


def _summed(path: Path) -> tuple[int, int]:
    """Return the CRC-32 of a file without its last four bytes, and the one that these state."""
    content = np.memmap(path, np.uint8, "r")
    return zlib.crc32(content[: -SUM.itemsize].data), int(content[-SUM.itemsize :].view(SUM)[0])


def _write(path: Path, array: np.ndarray) -> None:
    """Write an array; what killed processes left of it goes, because the caller holds its lock."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        left.unlink(missing_ok=True)
    with replacing(path) as temporary:
        with temporary.open("wb") as handle:
            np.save(handle, array)
        total = zlib.crc32(np.memmap(temporary, np.uint8, "r").data)
        with temporary.open("ab") as handle:
            handle.write(np.array(total, SUM).tobytes())
