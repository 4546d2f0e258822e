"""Train several runs in one pass: groups of jobs for another executor.

The runs of a group share a frozen backbone, so their images go through it together, see `adu_bench.clip.turns`.  Each
run still locks, stores and fails on its own, so nothing of a group is lost if it is interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

from adu_bench.core.errors import UserError
from adu_bench.core.progress import Progress, silent
from adu_bench.runner.executors.interface import Executor, Job, Outcome, Result, failed, perform, settled
from adu_bench.store import Store

MOST = 8
"""Runs in a group where the number is to be chosen, at most; what does not fit into memory is halved."""


@runtime_checkable
class Fusable(Job, Protocol):
    """A job that can be done together with others."""

    @property
    def family(self) -> tuple:
        """Jobs of equal families can be done together."""

    @property
    def finished(self) -> bool:
        """Whether its results are stored."""


@dataclass(frozen=True)
class Fused:
    """An executor that gives groups of jobs to another one.

    Parameters
    ----------
    inner
        Runs the groups.
    size
        Runs in a group, at most.
    workers
        Workers that should all have a group: few jobs make smaller groups.  1 where that does not matter.

    Raises
    ------
    UserError
        If the size is below 1.
    """

    inner: Executor
    size: int
    workers: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UserError(f"--fuse {self.size} is too few.", "A group has at least one run.", "Give --fuse 8, or 1.")

    def run(self, jobs: Sequence[Job], progress: Progress = silent) -> Iterator[Result]:
        """Run jobs; see `adu_bench.runner.executors.interface.Executor`."""
        with closing(self.inner.run(list(_grouped(jobs, self.size, self.workers)), progress)) as results:  # type: ignore[type-var]
            for result in results:
                yield from result.job.single(result) if isinstance(result.job, Group) else [result]


def _grouped(jobs: Sequence[Job], size: int, workers: int = 1) -> Iterator[Job]:
    """Yield jobs of one family in groups, where the first of them comes; jobs without a family stay alone."""
    size = min(size, -(-len(jobs) // workers)) or 1
    families: dict[Any, list[Any]] = {}
    for place, job in enumerate(jobs):
        families.setdefault(job.family if isinstance(job, Fusable) else place, []).append(job)
    for own in families.values():
        for start in range(0, len(own), size):
            part = own[start : start + size]
            yield Group(tuple(part)) if len(part) > 1 else part[0]


@dataclass(frozen=True)
class Group:
    """Several jobs of one family as one job.

    Parameters
    ----------
    jobs
        The jobs, at least two.
    """

    jobs: tuple[Fusable, ...]

    @property
    def title(self) -> str:
        """The first job, and how many more there are."""
        return f"{self.jobs[0].title}, and {len(self.jobs) - 1} more"

    def run(self, device: str, progress: Progress) -> Outcome:
        """Do the jobs together; the text is the list of their outcomes and seconds, see `single`."""
        ended = _together(self.jobs, device, progress)
        text = json.dumps([[outcome.state, outcome.text, seconds] for outcome, seconds in ended])
        return Outcome("done", text, any(outcome.device_lost for outcome, _ in ended))

    @property
    def store(self) -> Store:
        """Where the results go."""
        return self.jobs[0].store  # type: ignore[attr-defined]

    @property
    def finished(self) -> bool:
        """Whether all results are stored."""
        return all(job.finished for job in self.jobs)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The folders that the jobs read; see `adu_bench.runner.executors.remote.Movable`."""
        return tuple(folder for job in self.jobs for folder in job.inputs)  # type: ignore[attr-defined]

    def moved(self, store: Store) -> Group:
        """Return the group for another machine; see `adu_bench.runner.executors.remote.Movable`."""
        return Group(tuple(job.moved(store) for job in self.jobs))  # type: ignore[attr-defined]

    def receive(self, store: Store) -> None:
        """Take over the results that another store has."""
        for job in self.jobs:
            job.receive(store)  # type: ignore[attr-defined]

    def fail(self, kind: str, reason: str, traceback: str = "") -> None:
        """Record a failure that ended the whole group, such as a timeout, for the jobs that it cut off."""
        for job in self.jobs:
            if not job.finished:
                job.fail(kind, reason, traceback)

    def single(self, result: Result) -> Iterator[Result]:
        """Return one result per job."""
        if result.state == "done":
            for job, (state, text, seconds) in zip(self.jobs, json.loads(result.text), strict=True):
                yield settled(Result(job, state, text, seconds))
            return
        for job in self.jobs:
            seconds = result.seconds / len(self.jobs)
            yield Result(job, "done", "", seconds) if job.finished else Result(job, result.state, result.text, seconds)


_FITS: dict[Any, int] = {}
"""How many runs of a family fit into memory at a time, where this process met a group that did not."""


def _together(jobs: Sequence[Fusable], device: str, progress: Progress) -> list[tuple[Outcome, float]]:
    """Run jobs together; where a joint step fails, for example for lack of memory, in two halves."""
    import torch

    from adu_bench.clip.memory import is_out_of_memory
    from adu_bench.clip.turns import Parted, Turns

    family = jobs[0].family
    found: list[Any] = [None] * len(jobs)
    if len(jobs) <= _FITS.get(family, len(jobs)):
        tasks = [partial(_one, job, device, silent if place else progress) for place, job in enumerate(jobs)]
        found = Turns(torch.device(device)).run(tasks) if len(tasks) > 1 else [tasks[0]()]
    parted = [place for place, one in enumerate(found) if one is None or isinstance(one, Parted)]
    half = (len(parted) + 1) // 2
    if any(is_out_of_memory(found[place].__cause__) for place in parted if found[place] is not None):
        _FITS[family] = half
    for part in (parted[:half], parted[half:]):
        if part:
            again = _together([jobs[place] for place in part], device, progress)
            for place, one in zip(part, again, strict=True):
                found[place] = one
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found


def _one(job: Job, device: str, progress: Progress) -> tuple[Outcome, float]:
    """Run a job that takes turns with others; it raises `Parted` if it must be run again without some of them."""
    from adu_bench.clip.turns import Parted, clock, current

    start = clock()
    if current() is None:
        return perform(job, device, progress), clock() - start
    try:
        outcome = Outcome(*job.run(device, progress))
    except Parted:
        raise
    except Exception as error:
        outcome = failed(job, error)
    return outcome, clock() - start
