"""Folders: shipped resources, caches and prepared data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import platformdirs

from adu_bench.core.environment import restoring

RESOURCES = Path(str(files("adu_bench"))) / "resources"
"""Shipped data: suites, indices, the small model."""


def cache_dir() -> Path:
    """Folder for decoded images and frozen features: ``ADU_BENCH_CACHE``, else the platform's cache folder."""
    chosen = os.environ.get("ADU_BENCH_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("adu-bench"))


@contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """Use another cache for a while, so that a measurement does the same work each time and leaves nothing behind."""
    with restoring("ADU_BENCH_CACHE"):
        os.environ["ADU_BENCH_CACHE"] = str(folder)
        yield


def data_dir() -> Path:
    """Folder for prepared data sets: ``ADU_BENCH_DATA``, else the platform's data folder."""
    chosen = os.environ.get("ADU_BENCH_DATA")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("adu-bench"))
