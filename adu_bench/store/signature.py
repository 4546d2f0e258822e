"""What tells that a file is as it was, without reading it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

SETTLED = 2 * 10**9
"""Nanoseconds.  Nothing is kept of a file that changed less than this ago: clocks of file systems are coarse, so
another change at once might not show."""


class Signature(NamedTuple):
    """Bytes, times in nanoseconds, and inode of a file."""

    size: int
    modified: int
    changed: int
    inode: int

    @staticmethod
    def of(path: Path) -> Signature | None:
        """Return the signature of a file; None if there is none."""
        try:
            found = os.stat(path)
        except OSError:
            return None
        return Signature(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    @property
    def settled(self) -> bool:
        """Whether another change would show."""
        return time.time_ns() - self.changed > SETTLED
