"""Read files within bounds, and write files that are whole or absent."""

from __future__ import annotations

import errno
import glob
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

SMALL = 1_000_000
"""Largest size in bytes of a text that people write."""
ABANDONED = 3600
"""Age in seconds of a temporary file that nobody writes any more: its process may run on another machine."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what is written there takes the place of ``path`` at the end.

    Whoever reads ``path`` meanwhile, or after a kill or an error, finds the file of before.  Missing folders are made,
    and temporary files that killed processes left more than an hour ago are deleted.

    Parameters
    ----------
    path
        The file to write or to replace.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read its bytes, unless it is a pipe or a device, which could give bytes without an end.

    Raises
    ------
    OSError
        If it is missing or not a regular file; ``strerror`` says which.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "It is not a regular file", str(path))
    with os.fdopen(handle, "rb") as file:
        yield file


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a file that a stranger may have written.

    Parameters
    ----------
    path
        A regular file, or a link to one.
    limit
        The largest size, in bytes.

    Raises
    ------
    OSError
        If it is missing, not a regular file, or too large; ``strerror`` says which.
    """
    with open_regular(path) as file:
        # A file can grow while it is read.
        large = os.fstat(file.fileno()).st_size > limit
        content = b"" if large else file.read(limit + 1)
    if large or len(content) > limit:
        raise OSError(errno.EFBIG, f"It has more than {limit:,} bytes", str(path))
    return content


def read_text(path: Path, limit: int = SMALL) -> str:
    """Read a text file in UTF-8, see `read_bytes`.

    Raises
    ------
    OSError
        As in `read_bytes`.
    UnicodeDecodeError
        If it is not UTF-8.
    """
    return read_bytes(path, limit).decode("utf-8")


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
