"""Execute planned runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from adu_bench.core.child import in_child
from adu_bench.core.devices import parse_device
from adu_bench.core.progress import Progress, silent
from adu_bench.runner.decoding import decode_needed
from adu_bench.runner.executors.interface import Executor, Result
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
        yield from results


def require_device(device: str) -> None:
    """Check a device's name, and that there is a GPU where one is asked for; torch is only imported in a child.

    Raises
    ------
    UserError
        If the device does not exist.
    """
    if parse_device(device).kind == "cuda":
        in_child("adu_bench.clip.device:resolve_device", device)
