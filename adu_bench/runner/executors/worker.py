"""A worker process: takes jobs from a pipe, runs them, and reports what happened."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from adu_bench.core.progress import silent
from adu_bench.runner.executors.interface import Job, Outcome, failed, perform

BLAS_THREADS = 2
"""numpy's linear algebra rounds differently with another number of threads, and searches such as CMA-ES amplify the
difference.  So the number is the same on every machine and for any number of workers."""


@dataclass(frozen=True)
class Message:
    """What a worker sends.

    Parameters
    ----------
    kind
        ``ready`` (libraries are loaded; sent once), ``progress``, or the state of a job that ended.
    text
        Step and note of a progress message, or the text of the result.
    done, total
        Counts of a progress message.
    last
        The worker ends after this message, since it has lost its device.
    """

    kind: str
    text: str = ""
    done: int = 0
    total: int = 1
    last: bool = False


def work(pipe: Connection, device: str, threads: int, place: int) -> None:
    """Run the jobs that come through the pipe until it closes or the device is lost.

    ``place`` counts the workers from 0; each takes the next of several GPUs.

    Interrupts are left to the parent, which ends its workers; a worker whose parent is gone ends itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from adu_bench.clip.device import resolve_device
    from adu_bench.runner import execute  # noqa: F401 - loaded before the first job's clock starts

    limit_threads(threads)
    device = resolve_device(device, place)
    pipe.send(Message("ready"))
    while True:
        try:
            job: Job = pipe.recv()
        except EOFError:
            return
        outcome = perform(job, device, partial(_tell, pipe))
        pipe.send(Message(outcome.state, outcome.text, last=outcome.device_lost))
        if outcome.device_lost:
            return


def perform_here(job: Job, device: str, place: int, threads: int) -> Outcome:
    """Do a job in this process without telling anybody how far it is; a device that is missing fails the job."""
    from adu_bench.clip.device import resolve_device

    try:
        limit_threads(threads)
        device = resolve_device(device, place)
    except Exception as error:
        return failed(job, error)
    return perform(job, device, silent)


def limit_threads(threads: int) -> None:
    """Let torch compute with a number of threads, and numpy with its fixed number."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(BLAS_THREADS, user_api="blas")


def _tell(pipe: Connection, step: str, done: int, total: int, note: str = "") -> None:
    try:
        pipe.send(Message("progress", f"{step}, {note}" if note else step, done, total))
    except OSError:
        # The parent is gone or ends this worker: no error of the job, so nothing may record one.
        os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
