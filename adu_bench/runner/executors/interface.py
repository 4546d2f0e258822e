"""What an executor takes and returns; a further executor needs only this module."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol

from adu_bench.core.errors import RunFailed, UserError
from adu_bench.core.progress import Progress

State = Literal["done", "failed", "elsewhere"]
"""``elsewhere``: another process is executing the job or has finished it."""
LOST_DEVICE = ("cuda error", "device-side assert", "illegal memory access", "unspecified launch failure")
"""Words of errors after which CUDA refuses all further work of a process."""


class Timeout(RunFailed):
    """A job that was ended because it took too long."""


class Died(RunFailed):
    """A job whose process ended before it."""


def too_long(seconds: float) -> str:
    """Return why a job was ended that exceeded its limit, and the remedy."""
    return f"It took longer than {seconds:g} s (--timeout). Give it more, or leave out --timeout."


def how_it_died(code: int | None) -> str:
    """Return how a process ended, by its exit code."""
    return f"The worker process ended with code {code}{', often for lack of memory' if code == -9 else ''}."


class Outcome(NamedTuple):
    """How a job ended in its process: state and text as in `Result`."""

    state: State
    text: str
    device_lost: bool = False
    """The process cannot use its device any more, so it must take no further job."""


class Job(Protocol):
    """Work for one process.  It is pickled, and it stores its results itself, so an executor only moves jobs."""

    @property
    def title(self) -> str:
        """The job in a few words, unique among the jobs that run together."""

    def run(self, device: str, progress: Progress) -> tuple[State, str] | Outcome:
        """Do the work on ``cpu`` or ``cuda``.

        Returns
        -------
        tuple
            ``done`` or ``elsewhere``, and a few words on the result (may be empty).
        """

    def fail(self, kind: str, reason: str, traceback: str = "") -> None:
        """Record that the job failed: ``kind`` is one word, ``reason`` a sentence."""


@dataclass(frozen=True)
class Result:
    """How a job ended.

    Parameters
    ----------
    job
        The job.
    state
        See `State`.
    text
        A few words on the result, or the reason of a failure.
    seconds
        Time from the start of the job, without the start of its process.
    """

    job: Job
    state: State
    text: str
    seconds: float


class Executor(Protocol):
    """A place where jobs run."""

    def run(self, jobs: Sequence[Job], progress: Progress) -> Iterator[Result]:
        """Run jobs, and yield one result per job as they end.

        A job that fails does not stop the others.  Closing the iterator (and Ctrl-C) ends the jobs in flight, which
        then leave nothing behind.

        Parameters
        ----------
        jobs
            What to run, in this order where the order is free.
        progress
            Called with the title of each job in flight as the step.
        """


def perform(job: Job, device: str, progress: Progress) -> Outcome:
    """Run a job where it was sent to; its errors are recorded and become its state."""
    try:
        return Outcome(*job.run(device, progress))
    except Exception as error:
        return failed(job, error)


def failed(job: Job, error: Exception) -> Outcome:
    """Record an error, while it is handled, as the failure of a job."""
    kind, reason = _reason(error)
    job.fail(kind, reason, traceback.format_exc())
    return Outcome("failed", reason, device_lost(error))


def settled(result: Result) -> Result:
    """Return a result in which a job that another process had counts as done if its results are stored."""
    if result.state == "elsewhere" and getattr(result.job, "finished", False):
        return replace(result, state="done", text="")
    return result


def device_lost(error: BaseException) -> bool:
    """Tell whether an error, or one that it was raised from or during, leaves CUDA unusable in this process.

    Memory that runs out is no such error: what was allocated is freed, and the next job can use it.
    """
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        text = str(one).lower()
        if isinstance(one, RuntimeError) and "out of memory" not in text and any(word in text for word in LOST_DEVICE):
            return True
        waiting += [one.__cause__, one.__context__]
    return False


def _reason(error: Exception) -> tuple[str, str]:
    if isinstance(error, UserError):
        return "input", str(error)
    if isinstance(error, RunFailed):
        return type(error).__name__.lower(), str(error)
    first = str(error).splitlines()[0] if str(error) else "no message"
    return "error", f"{type(error).__name__}: {first}"
