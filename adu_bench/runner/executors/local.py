"""Run jobs in worker processes on this machine, watched by a parent that never imports torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from adu_bench.core.cores import usable_cores
from adu_bench.core.environment import restoring
from adu_bench.core.errors import UserError
from adu_bench.core.progress import Progress, silent
from adu_bench.runner.executors.interface import Job, Result, how_it_died, too_long
from adu_bench.runner.executors.worker import Message, work


@dataclass(frozen=True)
class LocalProcesses:
    """An executor of worker processes.

    Parameters
    ----------
    device
        See `adu_bench.core.devices`; several GPUs are dealt out to the workers in turn.
    workers
        Number of processes; they share the cores.
    timeout
        Seconds after which a job is ended and counted as failed; None for no limit.

    Raises
    ------
    UserError
        If there are no workers.
    """

    device: str = "auto"
    workers: int = 1
    timeout: float | None = None

    def __post_init__(self) -> None:
        require_workers(self.workers)

    def run(self, jobs: Sequence[Job], progress: Progress = silent) -> Iterator[Result]:
        """Run jobs; see `adu_bench.runner.executors.interface.Executor`."""
        _require_libraries()
        pool = _Pool(self, list(reversed(jobs)), progress)
        try:
            yield from pool.results()
        finally:
            pool.stop()


def _require_libraries() -> None:
    """Refuse to start workers that would all die while they load, one run after the other, without saying why."""
    missing = [name for name in ("torch", "open_clip") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"The package '{missing[0]}' is not installed.",
            "Boards are read without it; methods are not run.",
            "Install what adu-bench needs (docs/installing.md), and check it with: adu-bench doctor",
        )


def require_workers(count: int) -> None:
    """Refuse a number of worker processes with which nothing would ever run.

    Raises
    ------
    UserError
        If there are no workers.
    """
    if count < 1:
        raise UserError(f"--jobs {count} is too few.", "At least one worker is needed.", "Give --jobs 1 or more.")


def threads_for(workers: int) -> int:
    """Return the threads of each of several workers: OMP_NUM_THREADS, else the usable cores shared among them.

    On shared machines either keeps a job from waiting for threads that other processes hold up.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return max(1, usable_cores() // workers)


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: Job | None = None
    since: float | None = None
    """When the job began; None while the process is still loading its libraries."""
    gone: bool = False
    """The process closed its end of the pipe, and all its messages were read."""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since if self.since is not None else 0.0


@dataclass
class _Pool:
    """The workers of one call, and the jobs that wait (the next one last)."""

    settings: LocalProcesses
    waiting: list[Job]
    progress: Progress
    workers: list[_Worker] = field(default_factory=list)

    def results(self) -> Iterator[Result]:
        """Yield one result per job."""
        for place in range(min(self.settings.workers, len(self.waiting))):
            self.workers.append(self._start(place))
        while any(worker.job for worker in self.workers):
            yield from self.listen()
            for worker in list(self.workers):
                ended = broken(worker, self.settings.timeout)
                if ended is not None:
                    assert worker.job is not None
                    kind, reason = ended
                    stop(worker)
                    worker.job.fail(kind, reason)
                    yield self._result(worker, Message("failed", reason))
                    self._replace(worker)

    def listen(self) -> Iterator[Result]:
        """Read the messages that have arrived, for a moment at most."""
        busy = {worker.pipe: worker for worker in self.workers if worker.job is not None}
        for pipe in wait(list(busy), timeout=0.2):
            worker = busy[pipe]  # type: ignore[index]
            try:
                message: Message = worker.pipe.recv()
            except (EOFError, ConnectionError):
                worker.gone = True
                continue
            if message.kind == "ready":
                worker.since = time.monotonic()
            elif message.kind == "progress":
                assert worker.job is not None
                self.progress(worker.job.title, message.done, message.total, message.text)
            else:
                result = self._result(worker, message)
                if message.last:
                    stop(worker)
                    self._replace(worker)
                else:
                    self._next(worker, since=time.monotonic())
                yield result

    def stop(self) -> None:
        """End all workers."""
        for worker in self.workers:
            stop(worker)

    def _start(self, place: int) -> _Worker:
        """Start a worker with the next job."""
        worker = start(self.settings.device, threads_for(self.settings.workers), place)
        self._next(worker, since=None)
        return worker

    def _replace(self, worker: _Worker) -> None:
        """Let a fresh worker take the place of one that ended, if a job waits."""
        place = self.workers.index(worker)
        if self.waiting:
            self.workers[place] = self._start(place)
        else:
            worker.job = None

    def _next(self, worker: _Worker, since: float | None) -> None:
        worker.job = self.waiting.pop() if self.waiting else None
        worker.since = since
        if worker.job is not None:
            self.progress(worker.job.title, 0, 1)
            worker.pipe.send(worker.job)

    def _result(self, worker: _Worker, message: Message) -> Result:
        assert worker.job is not None
        self.progress(worker.job.title, 1, 1)
        return Result(worker.job, message.kind, message.text, worker.seconds)  # type: ignore[arg-type]


def start(device: str, threads: int, place: int = 0) -> _Worker:
    """Start a worker; see `adu_bench.runner.executors.worker.work`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, device, threads, place), daemon=True)
    with _interrupts_ignored(), restoring("OMP_WAIT_POLICY"):
        # Threads that spin while they wait take the cores from those that they wait for, where other processes compute
        # as well.  Read when torch is imported; the user's choice stays.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Start the worker with SIGINT ignored: a terminal sends Ctrl-C to it too, and only the parent ends workers.

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


def broken(worker: _Worker, timeout: float | None) -> tuple[str, str] | None:
    """Return why a worker cannot finish its job, as kind and reason; None if it can."""
    if worker.job is None:
        return None
    if timeout is not None and worker.seconds > timeout:
        return "timeout", too_long(timeout)
    if worker.gone:
        worker.process.join(5)
        return "died", how_it_died(worker.process.exitcode)
    return None


def stop(worker: _Worker) -> None:
    """End a worker; it writes into a temporary folder only, so no half result remains."""
    worker.pipe.close()
    worker.process.terminate()
    worker.process.join(5)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
