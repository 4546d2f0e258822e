"""Run jobs with SLURM through submitit: one job array, and one log per job."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from adu_bench.core.cores import usable_cores
from adu_bench.core.errors import UserError
from adu_bench.core.progress import Progress, silent
from adu_bench.runner.executors.interface import Job, Result, Timeout
from adu_bench.runner.executors.remote import Delivery, Parcel, arrived, lost, packed, wanted_threads

ATTEMPTS = 3
"""How often a job is submitted whose process ends without a result, and how often it may reach its time limit."""
PAUSE = 2.0
"""Seconds between two looks for results."""
LOOK = 20.0
"""Seconds between two questions to SLURM.  A job that it does not list twice, and that has no result, is lost: a result
can be seen a few seconds late on a shared folder."""


@dataclass(frozen=True)
class Slurm:
    """An executor of SLURM jobs; the folder of the runs must be shared with the nodes.

    Parameters
    ----------
    settings
        Options of ``sbatch`` by their long names.
    logs
        Folder of the logs.
    device
        See `adu_bench.core.devices`; checked on the nodes.
    engine
        ``local`` starts processes on this machine in place of SLURM jobs.
    timeout
        Seconds after which a job is ended and counts as failed; None for no limit but that of SLURM.
    """

    settings: tuple[tuple[str, str], ...]
    logs: Path
    device: str = "auto"
    engine: Literal["slurm", "local"] = "slurm"
    timeout: float | None = None

    def run(self, jobs: Sequence[Job], progress: Progress = silent) -> Iterator[Result]:
        """Run jobs; see `adu_bench.runner.executors.interface.Executor`.

        Closing the iterator cancels all jobs that have not ended.

        Raises
        ------
        UserError
            If submitit or SLURM is missing, or SLURM refuses the settings.
        """
        executor = self._executor()
        with packed(jobs, self.device, self.timeout) as parcels:
            tasks = [Task(parcel) for parcel in parcels]
            waiting = dict(zip(range(len(jobs)), self._submitted(executor, tasks), strict=True))
            attempts, queue = dict.fromkeys(waiting, 1), Queue(self._listed)
            try:
                while waiting:
                    ended = [place for place, sent in waiting.items() if _has_result(sent)]
                    gone = queue.left([waiting[place] for place in waiting if place not in ended])
                    ended += [place for place, sent in waiting.items() if sent.job_id in gone]
                    for place in ended:
                        delivery, log = _delivery(waiting[place]), waiting[place].paths.stderr
                        if delivery is None and attempts[place] < ATTEMPTS:
                            attempts[place] += 1
                            (waiting[place],) = self._submitted(executor, [tasks[place]])
                            continue
                        del waiting[place]
                        result = (
                            lost(jobs[place], f"Its process ended {ATTEMPTS} times without a result; see {log}.")
                            if delivery is None
                            else arrived(jobs[place], delivery)
                        )
                        progress(result.job.title, 1, 1)
                        yield result
                    if waiting and not ended:
                        time.sleep(PAUSE)
            finally:
                for sent in waiting.values():
                    sent.cancel(check=False)

    def _executor(self) -> Any:
        try:
            import submitit
        except ImportError as error:
            raise UserError(
                "submitit is not installed.", "--cluster slurm needs it.", 'pip install "adu-bench[slurm]"'
            ) from error
        if self.engine == "local":
            executor: Any = submitit.LocalExecutor(self.logs)
            executor.update_parameters(timeout_min=60 * 24 * 365)
            return executor
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise UserError(
                "There is no SLURM here.",
                "The command sbatch or srun does not exist.",
                "Start this command on a login node of the cluster.",
            )
        executor = submitit.SlurmExecutor(self.logs, max_num_timeout=ATTEMPTS - 1)
        executor.update_parameters(**parameters(self.settings))
        return executor

    def _listed(self, sent: Sequence[Any]) -> set[str] | None:
        """Return the numbers of the jobs that have not ended; None if SLURM does not answer."""
        if self.engine == "local":
            return {job.job_id for job in sent if not job.done()}
        elsewhere = [f"--{name}={text}" for name, text in self.settings if name in ("cluster", "clusters")]
        command = ["squeue", f"--user={os.getuid()}", "--array", "--noheader", "--format=%i", *elsewhere]
        try:
            return set(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split())
        except (OSError, subprocess.SubprocessError):
            return None

    def _submitted(self, executor: Any, tasks: list[Task]) -> list[Any]:
        """Submit tasks as one array; the log of a run has a link with its title as the name."""
        import submitit

        try:
            with executor.batch():
                sent = [executor.submit(task) for task in tasks]
        except submitit.core.utils.FailedJobError as error:
            raise UserError(
                "SLURM refused the jobs.", f"{str(error).strip().splitlines()[-1].rstrip('.')}.", "Correct --slurm."
            ) from error
        for task, job in zip(tasks, sent, strict=True):
            name = "".join(letter if letter.isalnum() or letter in "-+=" else "_" for letter in task.parcel.job.title)
            with suppress(OSError):
                link = self.logs / f"{name[:150]}.log"
                link.unlink(missing_ok=True)
                link.symlink_to(job.paths.stderr.name)
        return sent


@dataclass
class Queue:
    """Notices jobs that ended without a result, without the accounting that ``sacct`` needs.

    Parameters
    ----------
    listed
        Returns the numbers of those jobs that have not ended; None if nobody knows.
    """

    listed: Callable[[Sequence[Any]], set[str] | None]
    missing: set[str] = field(default_factory=set)
    """The jobs that were not listed last time."""
    asked: float = field(default_factory=time.monotonic)

    def left(self, sent: Sequence[Any]) -> set[str]:
        """Return the numbers of jobs that were not listed twice, if it is time to ask; otherwise none."""
        if time.monotonic() - self.asked < LOOK:
            return set()
        self.asked = time.monotonic()
        listed = self.listed(sent)
        if listed is None:
            return set()
        missing = {job.job_id for job in sent} - listed
        gone, self.missing = missing & self.missing, missing
        return gone


@dataclass(frozen=True)
class Task:
    """What a SLURM job does; after pre-emption it is queued again, and its finished runs are skipped."""

    parcel: Parcel

    def __call__(self) -> Delivery:
        """Do the job."""
        _name_time_limit()
        granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
        return self.parcel.do(wanted_threads(int(granted) if granted.isdecimal() else usable_cores()))

    def checkpoint(self) -> Any:
        """Return what submitit queues again when SLURM ends the job before its time."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _name_time_limit() -> None:
    """Let the job end in words where submitit queues it no more, since it reached its time limit too often."""
    from submitit import JobEnvironment
    from submitit.core.utils import UncompletedJobError

    number = signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]
    of_submitit = signal.getsignal(number)

    def handle(*given: Any) -> None:
        try:
            of_submitit(*given)  # type: ignore[operator, misc]
        except UncompletedJobError as error:
            raise Timeout(
                f"Its SLURM job reached the time limit {ATTEMPTS} times. Give it more, as in --slurm time=8:00:00."
            ) from error

    signal.signal(number, handle)


def parameters(settings: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return settings as submitit wants them: those that it does not know go to ``sbatch`` as they are."""
    from submitit import SlurmExecutor

    known = SlurmExecutor._valid_parameters()
    found: dict[str, Any] = {"job_name": "adu-bench", "additional_parameters": {}}
    for option, text in settings:
        name = option.replace("-", "_")
        place = found if name in known else found["additional_parameters"]
        place[name] = minutes(text) if name == "time" else int(text) if text.isdecimal() else text
    return found


def minutes(text: str) -> int:
    """Return a time as SLURM writes it (M, M:S, H:M:S, D-H, D-H:M or D-H:M:S) in minutes, rounded up.

    Raises
    ------
    UserError
        If it is not a time.
    """
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    if len(parts) > 3 or not all(part.isdecimal() for part in [*parts, *([days] if dash else [])]):
        raise UserError(f"'{text}' is not a time.", "SLURM writes four hours as 4:00:00.", "--slurm time=4:00:00")
    numbers = [int(part) for part in parts]
    if dash:
        hours, minute, second = (*numbers, 0, 0)[:3]
    else:
        hours, minute, second = {1: (0, *numbers, 0), 2: (0, *numbers), 3: tuple(numbers)}[len(numbers)]
    return 1440 * int(days or 0) + 60 * hours + minute + (second > 0)


def _has_result(sent: Any) -> bool:
    """Return whether a job left its result."""
    with suppress(OSError):
        # Makes a client of NFS read the folder again.
        sent.paths.folder.chmod(sent.paths.folder.stat().st_mode)
    return sent.paths.result_pickle.exists()


def _delivery(sent: Any) -> Delivery | None:
    """Return what a job left; None if it left nothing, or what kept it from its work."""
    if not _has_result(sent):
        return None
    try:
        return sent.result()
    except Exception:
        return None
