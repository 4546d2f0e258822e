"""Where to run: worker processes on this machine, watched by a parent that never imports torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from adu_bench.runner.plan import PlannedRun
from adu_bench.runner.worker import Event, work
from adu_bench.store import Store

Listener = Callable[[PlannedRun, Event, float], None]
"""Called with the run, what happened, and the seconds since the run began."""


@dataclass
class Outcome:
    """What became of a plan: the runs that finished here, failed (with reasons), or run elsewhere."""

    done: list[PlannedRun] = field(default_factory=list)
    failed: list[tuple[PlannedRun, str]] = field(default_factory=list)
    elsewhere: list[PlannedRun] = field(default_factory=list)
    interrupted: bool = False


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    run: PlannedRun | None = None
    since: float | None = None
    """When the run began; None while the process is still loading its libraries."""
    gone: bool = False
    """The process closed its end of the pipe, and everything that it had sent was read."""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since if self.since is not None else 0.0


def run_all(
    todo: Sequence[PlannedRun],
    store: Store,
    *,
    device: str,
    jobs: int,
    timeout: float | None,
    listener: Listener,
    force: bool = False,
) -> Outcome:
    """Execute runs in worker processes.

    Parameters
    ----------
    todo
        What to execute, in this order.
    store
        Where results and failures go.
    device
        ``auto``, ``cpu`` or ``cuda``.
    jobs
        Worker processes; the cores are shared among them.
    timeout
        Seconds after which a run is ended and counted as failed; None waits for ever.
    listener
        Told of every event.
    force
        Execute runs again that are finished.

    Returns
    -------
    Outcome
        ``interrupted`` is true after Ctrl-C; unfinished runs then left nothing behind.
    """
    outcome, waiting = Outcome(), list(reversed(todo))
    threads = threads_for(jobs)
    workers: list[_Worker] = []
    try:
        workers = [_start(store, device, threads, force) for _ in range(min(jobs, len(todo)))]
        for worker in workers:
            _next(worker, waiting, since=None)
        while any(worker.run for worker in workers):
            _listen(workers, waiting, outcome, listener)
            for place, worker in enumerate(workers):
                broken = _broken(worker, timeout)
                if broken is not None:
                    assert worker.run is not None
                    kind, reason = broken
                    _stop(worker)
                    store.fail(worker.run.spec, worker.run.label, kind, reason)
                    _settle(worker, Event("failed", text=reason), outcome, listener)
                    workers[place] = _start(store, device, threads, force)
                    _next(workers[place], waiting, since=None)
    except KeyboardInterrupt:
        outcome.interrupted = True
    finally:
        for worker in workers:
            _stop(worker)
    return outcome


def threads_for(jobs: int) -> int:
    """Return the threads of each of several workers: OMP_NUM_THREADS, else the cores that this process may use, shared.

    On shared machines either keeps a run from waiting for threads that others hold up.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    # Not every system can tell what a process may use.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // jobs)


def _start(store: Store, device: str, threads: int, force: bool) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, store, device, threads, force), daemon=True)
    with _interrupts_ignored():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let a child be born deaf to Ctrl-C, which a terminal sends to it too: only the parent ends workers.

    Otherwise a worker that is still starting would print a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _next(worker: _Worker, waiting: list[PlannedRun], since: float | None) -> None:
    worker.run = waiting.pop() if waiting else None
    worker.since = since
    if worker.run is not None:
        worker.pipe.send(worker.run)


def _listen(workers: list[_Worker], waiting: list[PlannedRun], outcome: Outcome, listener: Listener) -> None:
    busy = {worker.pipe: worker for worker in workers if worker.run is not None}
    for pipe in wait(list(busy), timeout=0.2):
        worker = busy[pipe]  # type: ignore[index]
        try:
            event: Event = worker.pipe.recv()
        except (EOFError, ConnectionError):
            worker.gone = True
            continue
        if event.kind == "ready":
            worker.since = time.monotonic()
            continue
        _settle(worker, event, outcome, listener)
        if event.kind != "progress":
            _next(worker, waiting, since=time.monotonic())


def _settle(worker: _Worker, event: Event, outcome: Outcome, listener: Listener) -> None:
    run = worker.run
    assert run is not None
    if event.kind == "done":
        outcome.done.append(run)
    elif event.kind == "elsewhere":
        outcome.elsewhere.append(run)
    elif event.kind == "failed":
        outcome.failed.append((run, event.text))
    listener(run, event, worker.seconds)


def _broken(worker: _Worker, timeout: float | None) -> tuple[str, str] | None:
    if worker.run is None:
        return None
    if timeout is not None and worker.seconds > timeout:
        return "timeout", f"It took longer than {timeout:g} s (--timeout)."
    if worker.gone:
        worker.process.join(5)
        return "died", f"The worker process ended with code {worker.process.exitcode}, often for lack of memory."
    return None


def _stop(worker: _Worker) -> None:
    worker.pipe.close()
    # A worker writes into a temporary folder only, so ending it in the middle of a run leaves no half result.
    worker.process.terminate()
    worker.process.join(5)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
