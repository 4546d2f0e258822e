"""Decode once: pictures as memory-mapped arrays on disk, shared by all runs and processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from adu_bench.core.errors import UserError
from adu_bench.core.hashing import digest
from adu_bench.core.paths import cache_dir
from adu_bench.data.recipe import Recipe


def prepared(pixels: np.ndarray, identity: str, recipe: Recipe) -> np.ndarray:
    """Return pictures resized by a recipe, made once and memory-mapped.

    Parameters
    ----------
    pixels
        Master pictures, uint8, (N, H, W, 3).
    identity
        Digest that names the master pictures.
    recipe
        What the backbone wants.

    Returns
    -------
    ndarray
        uint8, (N, size, size, 3), read-only.
    """

    def make() -> np.ndarray:
        return np.stack([recipe.apply(Image.fromarray(picture)) for picture in pixels])

    return cached(f"prepared/{digest([identity, asdict(recipe)])}", make)


def cached(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return an array from the cache folder, making it first where it is missing or damaged.

    One process makes it while others wait; a killed process leaves nothing behind that could be taken for the array.

    Parameters
    ----------
    name
        Path of the entry below the cache folder, without ending; it must name the content.
    make
        Computes the array.

    Raises
    ------
    UserError
        If the cache folder cannot be written.
    """
    path = cache_dir() / f"{name}.npy"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            found = _opened(path)
            if found is None:
                _write(path, make())
                found = _opened(path)
    except OSError as error:
        raise UserError(
            f"The cache folder '{cache_dir()}' cannot be used.",
            f"{type(error).__name__}: {error.strerror or error}.",
            "Set ADU_BENCH_CACHE to a folder that you may write to.",
        ) from error
    assert found is not None
    return found


def _opened(path: Path) -> np.ndarray | None:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None


def _write(path: Path, array: np.ndarray) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as handle:
        np.save(handle, array)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
