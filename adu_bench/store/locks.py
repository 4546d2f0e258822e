"""Locks that hold between machines that share a folder, such as NFS without a lock service.

A lock is a folder with one file, whose name says who holds it; only renames create it, take it over and end it, because
those are atomic on every file system.  The holder renews the time of its file.  A holder on this machine counts as gone
when its process has ended, one on another machine when it has not renewed its file for `STALE` seconds.  All times come
from the clock of the file system, so the clocks of the machines need not agree.
"""

from __future__ import annotations

import os
import platform
import shutil
import threading
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

BEAT = 15.0
"""Seconds between renewals."""
STALE = 150.0
"""Seconds without a renewal after which a holder on another machine is gone.  NFS may show times that are up to 60 s
old."""
PATIENCE = STALE + 2 * BEAT
"""Seconds that a job waits for a holder that may be gone."""
_TEMPORARY = ".new-"


class Lock:
    """A lock on a name in a folder, for one holder among all processes of all machines.

    Parameters
    ----------
    folder
        An existing folder.
    name
        What is locked.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.place = folder / name
        self.own = self.place / f"{_machine()}-{os.getpid()}-{_started(os.getpid())}-{uuid.uuid4().hex[:12]}"
        self._released = threading.Event()

    def acquire(self) -> bool:
        """Take the lock; False if another holder has it.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        if not (self._create() or self._take_over()):
            return False
        threading.Thread(target=self._renew, daemon=True).start()
        return True

    @property
    def held(self) -> bool:
        """Whether the lock still belongs to this holder; a machine that stood still for long may have lost it."""
        return self.own.exists()

    def release(self) -> None:
        """End the lock; without effect if another holder took it over."""
        self._released.set()
        self.own.unlink(missing_ok=True)
        with suppress(OSError):
            self.place.rmdir()

    def _create(self) -> bool:
        """Move a folder with this holder's file to the lock's place, which fails where a folder with a file is."""
        made = self.place.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
        made.mkdir()
        try:
            (made / self.own.name).touch()
            with suppress(OSError):
                made.rename(self.place)
            # A server that repeats a request can answer a rename that succeeded with an error.
            return self.own.exists()
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _take_over(self) -> bool:
        """Rename the file of a holder that is gone; of several processes that try, one finds it."""
        try:
            (other,) = self.place.iterdir()
            if not self._gone(other):
                return False
            # Renewed first, so that the new holder does not look gone to a third process.
            os.utime(other)
        except (OSError, ValueError):
            return False
        with suppress(OSError):
            other.rename(self.own)
        return self.own.exists()

    def _gone(self, other: Path) -> bool:
        machine, _, rest = other.name.partition("-")
        process, started = rest.split("-")[:2]
        now = _started(int(process)) if machine == _machine() else "hidden"
        if now != "hidden":
            return now != started
        return self._now() - other.stat().st_mtime > STALE

    def _now(self) -> float:
        """Return the time of the file system, in seconds."""
        probe = self.place.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._released.wait(BEAT):
            with suppress(OSError):
                os.utime(self.own)


@cache
def _machine() -> str:
    """Return a name of this machine since it was started, and of the container: process numbers are unique in it."""
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with suppress(OSError):
            parts.append(os.readlink(path) if path.endswith("pid") else Path(path).read_text(encoding="ascii").strip())
    return uuid.uuid5(uuid.NAMESPACE_DNS, " ".join(parts)).hex


def _started(process: int) -> str:
    """Return when a process of this machine was started, which tells it from a later one of its number.

    Empty if it has ended, and ``hidden`` if its user hides it.
    """
    with suppress(OSError):
        # Ticks since the start of the machine, which unlike a time do not change when its clock is set.
        state, *fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]
    if not psutil.pid_exists(process):
        return ""
    try:
        return "hidden" if Path("/proc/self").exists() else f"{psutil.Process(process).create_time():.0f}"
    except psutil.Error:
        return "hidden"
