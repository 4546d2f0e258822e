"""Temporary folders of a test session, which the next session deletes if this one is killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil


def own_folder(kind: str) -> str:
    """Return a new folder of this process, and delete those that killed processes left."""
    start = f"adu-bench-{kind}-"
    for path in Path(tempfile.gettempdir()).glob(f"{start}[0-9]*-*"):
        owner = path.name.removeprefix(start).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(path, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{start}{os.getpid()}-")
