"""Execute planned runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from adu_bench.core.child import in_child
from adu_bench.core.devices import parse_device
from adu_bench.core.errors import UserError
from adu_bench.core.progress import Progress, silent
from adu_bench.runner.decoding import decode_needed
from adu_bench.runner.executors.fused import Fused
from adu_bench.runner.executors.interface import Executor, Result, settled
from adu_bench.runner.executors.local import LocalProcesses
from adu_bench.runner.job import RunJob
from adu_bench.runner.plan import PlannedRun
from adu_bench.runner.tracking import require_tracker
from adu_bench.store import Store


def execute_runs(
    runs: Sequence[PlannedRun],
    store: Store,
    executor: Executor | None = None,
    progress: Progress = silent,
    *,
    force: bool = False,
    log: str = "",
) -> Iterator[Result]:
    """Decode what runs need, execute them, and yield one result per run as it ends.

    Parameters
    ----------
    runs
        What to execute, in this order.
    store
        Where results and failures go.
    executor
        Where to run; None for one process on this machine.
    progress
        Called with the decoding, and with each run in flight.
    force
        Execute runs although they are finished.
    log
        The tracker that follows the training of each run, see `adu_bench.runner.tracking`; empty for none.

    Raises
    ------
    UserError
        If images cannot be used, results cannot be written, or the tracker is not installed.
    """
    require_tracker(log)
    store.require_writable()
    store.sweep()
    decode_needed(runs, progress)
    jobs = [RunJob(run, store, force, log) for run in runs]
    with closing((executor or LocalProcesses()).run(jobs, progress)) as results:  # type: ignore[type-var]
        yield from map(settled, results)


def local_executor(device: str = "auto", jobs: int = 1, fuse: int = 1, timeout: float | None = None) -> Executor:
    """Return worker processes of this machine as an executor, with its settings checked.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.
    jobs
        Worker processes.
    fuse
        Runs of a method that are trained in one pass of the backbone, at most.
    timeout
        Seconds after which a run is ended and counts as failed; 0 or None for no limit.

    Raises
    ------
    UserError
        If there is no such device, or a number is out of range.
    """
    require_device(device)
    return Fused(LocalProcesses(device, jobs, limit_of(timeout, fuse)), fuse)


def limit_of(timeout: float | None, fuse: int = 1) -> float | None:
    """Return the time limit of a job in seconds, or None; it is given per run, and a group of runs is one job.

    Raises
    ------
    UserError
        If it is not a time.
    """
    if not 0 <= (timeout or 0) < float("inf"):
        raise UserError(
            f"--timeout {timeout} is not a time.", "It counts seconds, from 0.", "Leave it out for no limit."
        )
    return timeout * fuse if timeout else None


def require_device(device: str) -> None:
    """Check a device's name, and that there is a GPU where one is asked for; torch is only imported in a child.

    Raises
    ------
    UserError
        If the device does not exist.
    """
    if parse_device(device).kind == "cuda":
        in_child("adu_bench.clip.device:resolve_device", device)
