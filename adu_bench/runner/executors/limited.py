"""A job with a time limit: in a process of its own, since only a process can be ended whatever it does."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import BinaryIO

from adu_bench.runner.executors.interface import Died, Job, Outcome, Timeout, how_it_died, too_long
from adu_bench.runner.executors.worker import perform_here

_JOB, _BEGUN, _OUTCOME = "job", "begun", "outcome"
_PAUSE = 0.2
_START = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    sys.path[:] = pickle.load(file)
    from adu_bench.runner.executors.limited import work
    work(file)
"""
"""Imports nothing before it has the parent's path of modules, which does not begin with the current folder."""


def limited(job: Job, device: str, place: int, threads: int, timeout: float) -> tuple[Outcome, float]:
    """Do a job, and return how it ended, and its seconds without the start of the process.

    The process is not made by `multiprocessing`, which refuses to start one from the workers of Dask.

    Parameters
    ----------
    job
        The job; it is pickled.
    device, place
        As in `adu_bench.clip.device.resolve_device`.
    threads
        Of the process.
    timeout
        Seconds.

    Raises
    ------
    Timeout
        If it took longer.
    Died
        If its process ended before.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / _JOB).write_bytes(pickle.dumps(sys.path) + pickle.dumps((job, device, place, threads)))
        # The process ends itself when the pipe closes because this one is gone.
        process = subprocess.Popen([sys.executable, "-P", "-c", _START, folder / _JOB], stdin=subprocess.PIPE)
        begun = None
        try:
            while process.poll() is None:
                if begun is None and (folder / _BEGUN).exists():
                    begun = time.monotonic()
                if begun is not None and time.monotonic() - begun > timeout:
                    raise Timeout(too_long(timeout))
                time.sleep(_PAUSE)
        finally:
            process.kill()
            process.communicate()
        if process.returncode:
            raise Died(how_it_died(process.returncode))
        return pickle.loads((folder / _OUTCOME).read_bytes())


def work(file: BinaryIO) -> None:
    """Do the job that a file contains, and leave its outcome beside the file."""
    # SLURM tells all processes of a job that it will end, and the parent decides what happens then.
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder = Path(file.name).parent
    job, device, place, threads = pickle.load(file)
    from adu_bench.runner import execute  # noqa: F401 - loaded before the clock starts

    (folder / _BEGUN).touch()
    start = time.monotonic()
    outcome = perform_here(job, device, place, threads)
    ended = outcome._replace(device_lost=False), time.monotonic() - start
    (folder / _OUTCOME).write_bytes(pickle.dumps(ended))


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock the end of Python would wait for.
    os.read(0, 1)
    os._exit(1)
