"""A worker process: takes planned runs from a pipe, executes them, and says what happened."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection

from adu_bench.core.errors import RunFailed, UserError
from adu_bench.runner.plan import PlannedRun
from adu_bench.store import Store

BLAS_THREADS = 2
"""numpy's linear algebra rounds by how many threads it has, and searches such as CMA-ES make much of it; so these are
the same on every machine and for any number of workers, and those that the committed boards were computed with."""


@dataclass(frozen=True)
class Event:
    """What a worker reports about one run.

    Parameters
    ----------
    kind
        ``ready`` (libraries are loaded; sent once), ``progress``, ``done``, ``failed`` or ``elsewhere`` (another
        process is executing or has finished the run).
    share
        Share done, 0..1, of a progress event.
    text
        A few words, or the reason of a failure.
    """

    kind: str
    share: float = 0.0
    text: str = ""


def work(pipe: Connection, store: Store, device: str, threads: int, force: bool) -> None:
    """Execute runs until the pipe closes; the first message of each is a `PlannedRun`.

    Interrupts are left to the parent, which ends its workers; a worker whose parent is gone ends itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    import torch
    from threadpoolctl import threadpool_limits

    from adu_bench.runner import execute  # noqa: F401 - loaded before the clock of the first run starts

    torch.set_num_threads(threads)
    threadpool_limits(BLAS_THREADS, user_api="blas")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    pipe.send(Event("ready"))
    while True:
        try:
            planned: PlannedRun = pipe.recv()
        except EOFError:
            return
        pipe.send(_one(planned, store, device, force, pipe))


def _one(planned: PlannedRun, store: Store, device: str, force: bool, pipe: Connection) -> Event:
    from adu_bench.runner.execute import execute

    key = planned.spec.key
    with store.lock(key) as ours:
        if not ours or (store.has(key) and not force):
            return Event("elsewhere", text="another process has it")
        try:
            execute(planned, store, device, lambda share, text: pipe.send(Event("progress", share, text)))
        except Exception as error:
            kind, reason = _reason(error)
            store.fail(planned.spec, planned.label, kind, reason, traceback.format_exc())
            return Event("failed", text=reason)
    return Event("done")


def _reason(error: Exception) -> tuple[str, str]:
    if isinstance(error, UserError):
        return "input", str(error)
    if isinstance(error, RunFailed):
        return type(error).__name__.lower(), str(error)
    first = str(error).splitlines()[0] if str(error) else "no message"
    return "error", f"{type(error).__name__}: {first}"


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
