"""Plan and execute runs: what the command ``run`` and `adu_bench.run` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from adu_bench.core.child import in_child
from adu_bench.core.devices import parse_device
from adu_bench.core.errors import UserError, unknown
from adu_bench.core.progress import Progress, silent
from adu_bench.runner.cost import Cost, cost, longest_first
from adu_bench.runner.decoding import decode_needed
from adu_bench.runner.executors.fused import MOST, Fused
from adu_bench.runner.executors.interface import Executor, Result, settled
from adu_bench.runner.executors.local import LocalProcesses, require_workers
from adu_bench.runner.job import RunJob
from adu_bench.runner.plan import Plan, PlannedRun
from adu_bench.runner.tracking import require_tracker
from adu_bench.store import Store
from adu_bench.workflows.selection import Selection

Fuse = int | Literal["auto"]


@dataclass(frozen=True)
class Where:
    """Where runs are executed; the names are those of the command's options.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.
    jobs
        Worker processes.
    fuse
        Runs of a method that are trained in one pass of the backbone, at most; ``auto`` for 1 on a CPU, where more
        saves nothing, and for up to 8 on a GPU: as many as its memory takes and as leave each worker some.
    timeout
        Seconds after which a run is ended and counts as failed; 0 or None for no limit.
    cluster
        ``dask`` or ``slurm``; empty for this machine.
    address, scheduler_file
        A Dask scheduler, ``tcp://HOST:PORT``, or its file.
    slurm
        Options of sbatch, such as ``partition=gpu,time=4:00:00,gpus=1``.
    """

    device: str = "auto"
    jobs: int = 1
    fuse: Fuse = 1
    timeout: float | None = None
    cluster: str = ""
    address: str = ""
    scheduler_file: str = ""
    slurm: str = ""

    def executor(self, out: Path) -> Executor:
        """Return the executor; a cluster keeps its logs in the folder of the runs.

        Raises
        ------
        UserError
            If there is no such device or cluster, a number is out of range, or an option is for another place.
        """
        _require_options_of_place(self)
        if self.cluster:
            return _cluster(self, out)
        return local_executor(self.device, self.jobs, self.fuse, self.timeout)


@dataclass(frozen=True)
class Execution:
    """Runs that are ready to be executed.

    Parameters
    ----------
    plan, store
        The runs, and the folder where finished ones are.
    where, executor
        Where they are executed.
    unfinished, todo
        Those that are not finished, and those that will be executed.
    force, log
        As for `execute_runs`.
    """

    plan: Plan
    store: Store
    where: Where
    executor: Executor
    unfinished: tuple[PlannedRun, ...]
    todo: tuple[PlannedRun, ...]
    force: bool = False
    log: str = ""

    @cached_property
    def expected(self) -> Cost:
        """What they cost."""
        return cost(self.todo, self.plan.runs, self.store)

    def results(self, progress: Progress = silent) -> Iterator[Result]:
        """Execute them, and yield one result per run as it ends; parameters and errors as for `execute_runs`."""
        if not self.todo:
            return
        spread = self.where.cluster or self.where.jobs > 1
        runs = longest_first(self.todo, self.plan.runs, self.store) if spread else self.todo
        yield from execute_runs(runs, self.store, self.executor, progress, force=self.force, log=self.log)


def prepare(
    selection: Selection, out: Path, where: Where, *, force: bool = False, log: str = "", fetch: bool = True
) -> Execution:
    """Plan runs, and check all options before anything is executed.

    Parameters
    ----------
    selection
        Which runs.
    out
        Folder of the runs.
    where
        Where they are executed.
    force, log
        As for `execute_runs`.
    fetch
        Whether weights that are not on this machine may be fetched.

    Raises
    ------
    UserError
        If the choice names something that does not exist, or an option is not valid.
    """
    executor = where.executor(out)
    require_tracker(log)
    store, plan = Store(out), selection.plan(fetch=fetch)
    unfinished = tuple(plan.unfinished(store))
    return Execution(plan, store, where, executor, unfinished, plan.runs if force else unfinished, force, log)


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


def local_executor(device: str = "auto", jobs: int = 1, fuse: Fuse = 1, timeout: float | None = None) -> Executor:
    """Return worker processes of this machine as an executor, with its settings checked.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.
    jobs
        Worker processes.
    fuse, timeout
        As in `Where`.

    Raises
    ------
    UserError
        If there is no such device, or a number is out of range.
    """
    require_device(device)
    if fuse != "auto":
        return Fused(LocalProcesses(device, jobs, limit_of(timeout, fuse)), fuse)
    size = 1 if in_child("adu_bench.clip.device:resolve_device", device) == "cpu" else MOST
    return Fused(LocalProcesses(device, jobs, limit_of(timeout, size)), size, jobs)


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


def _require_options_of_place(where: Where) -> None:
    """Refuse options that the place would not read: runs that were meant for a cluster would start on this machine.

    Raises
    ------
    UserError
        If there is no such cluster, there are no workers, or an option is for another place.
    """
    if where.cluster not in ("", "dask", "slurm"):
        raise unknown("cluster", where.cluster, ["dask", "slurm"])
    require_workers(where.jobs)
    place = f"--cluster {where.cluster}" if where.cluster else "this machine"
    engines = (("--address", "dask"), ("--scheduler-file", "dask"), ("--slurm", "slurm"))
    for (option, engine), value in zip(engines, (where.address, where.scheduler_file, where.slurm), strict=True):
        if value and where.cluster != engine:
            raise UserError(
                f"{option} does not go with {place}.",
                f"Only --cluster {engine} reads it.",
                f"Choose --cluster {engine}, or leave out {option}.",
            )
    if where.address and where.scheduler_file:
        raise UserError(
            "--address and --scheduler-file were both given.", "Each names a scheduler.", "Leave out one of them."
        )
    if where.jobs > 1 and where.cluster == "slurm":
        raise UserError(
            f"--jobs {where.jobs} does not go with {place}.",
            "SLURM starts one job per run, or per group of --fuse.",
            f"Leave out --jobs; --slurm array_parallelism={where.jobs} limits how many run at once.",
        )
    if where.jobs > 1 and (where.address or where.scheduler_file):
        raise UserError(
            f"--jobs {where.jobs} does not go with a running scheduler.",
            "The workers of that cluster decide how many runs are executed at once.",
            "Leave out --jobs, or leave out the scheduler for a new cluster on this machine.",
        )


def _cluster(where: Where, out: Path) -> Executor:
    """Return the executor of a cluster.

    Raises
    ------
    UserError
        If an option is not valid.
    """
    on_cpu = parse_device(where.device).kind == "cpu"
    size = (1 if on_cpu else MOST) if where.fuse == "auto" else where.fuse
    limit = limit_of(where.timeout, size)
    if where.cluster == "dask":
        from adu_bench.runner.executors.dask_cluster import DaskCluster

        place = where.address, where.scheduler_file
        return Fused(DaskCluster(*place, where.device, where.jobs, limit), size)
    from adu_bench.runner.executors.slurm import Slurm

    logs = out.absolute() / ".slurm"
    return Fused(Slurm(settings_of(where.slurm), logs, where.device, timeout=limit), size)


def settings_of(text: str) -> tuple[tuple[str, str], ...]:
    """Read ``--slurm``.

    Raises
    ------
    UserError
        If a part is not an option with a value.
    """
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    for name, _, value in pairs:
        if not name or not value:
            raise UserError(
                f"'{name or value}' is not an option of sbatch with a value.",
                "--slurm takes long names and values, with commas.",
                'For example --slurm "partition=gpu,time=4:00:00,gpus=1".',
            )
    return tuple((name, value) for name, _, value in pairs)
