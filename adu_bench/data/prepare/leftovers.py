"""Folders and locks of which an error leaves nothing that was not there before."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make a folder; after an error, remove it and those above it that were not there, as far as they are empty."""
    first = next((place for place in reversed([folder, *folder.parents]) if not place.exists()), None)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if first is not None:
            _remove_empty(folder, first.parent)
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock, and remove its file."""
    with FileLock(path):
        try:
            yield
        finally:
            # Whoever waits opens the file anew; Windows keeps it while it is open.
            with suppress(OSError):
                path.unlink()


@contextmanager
def kept_as_it_was(folder: Path, above: Path) -> Iterator[None]:
    """After an error, remove what was added to a folder; and it and those that it is in, below ``above``, if empty."""
    before = set(folder.glob("*"))
    try:
        yield
    except BaseException:
        for added in set(folder.glob("*")) - before:
            shutil.rmtree(added, ignore_errors=True)
        _remove_empty(folder, above)
        raise


def _remove_empty(folder: Path, above: Path) -> None:
    """Remove a folder and those that it is in, up to one that stays, as far as they are empty."""
    while folder != above:
        with suppress(OSError):
            folder.rmdir()
        folder = folder.parent
