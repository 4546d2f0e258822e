"""Arrays made once and memory-mapped, shared by all runs and processes."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock

from adu_bench.core.errors import UserError, no_locks
from adu_bench.core.files import replacing
from adu_bench.core.paths import cache_dir


def cached(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return an array from the cache folder, making it first where it is missing or damaged.

    One process makes it while others wait; a killed process leaves nothing that could be mistaken for the array.

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


def _opened(path: Path) -> np.ndarray | None:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None


def _write(path: Path, array: np.ndarray) -> None:
    """Write an array; what killed processes left of it goes, because the caller holds its lock."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        left.unlink(missing_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array)
