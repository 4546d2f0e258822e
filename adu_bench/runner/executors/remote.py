"""A job on another machine: it works in the folder of the runs where it finds that, else its results are sent back."""

from __future__ import annotations

import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

from adu_bench.core.errors import UserError
from adu_bench.registry.fingerprint import core_digest
from adu_bench.runner.executors.interface import Died, Job, Outcome, Result, failed, settled
from adu_bench.runner.executors.limited import limited
from adu_bench.runner.executors.worker import perform_here
from adu_bench.store import Store

_ALONE = threading.Lock()
"""Jobs seed torch's random numbers and set its threads, so a process does one at a time."""


class Movable(Job, Protocol):
    """A job that can be done on another machine."""

    @property
    def store(self) -> Store:
        """Where its results go."""

    @property
    def finished(self) -> bool:
        """Whether its results are stored."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The folders below that of the runs that it reads."""

    def moved(self, store: Store) -> Movable:
        """Return the job with another store; it waits for locks of machines that may be gone."""

    def receive(self, store: Store) -> None:
        """Take over the results of the job that another store has."""


@dataclass(frozen=True)
class Delivery:
    """What comes back from another machine.

    Parameters
    ----------
    outcome, seconds
        How the job ended, and its duration.
    files
        Names and contents of its results; empty where they are in the shared folder.
    """

    outcome: Outcome
    seconds: float
    files: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class Parcel:
    """A job to be sent.

    Parameters
    ----------
    job
        The job; its store has an absolute path.
    device
        See `adu_bench.core.devices`.
    mark
        The name of a file in the folder of the runs, by which another machine recognises that folder.
    core
        Digest of the sender's code that computes numbers, see `adu_bench.registry.fingerprint.core_digest`.
    timeout
        Seconds after which the job is ended and counts as failed; None for no limit.
    files
        Names and contents of what the job reads; empty where that is in a shared folder.
    """

    job: Movable
    device: str
    mark: str
    core: str
    timeout: float | None = None
    files: tuple[tuple[str, bytes], ...] = ()

    def do(self, threads: int, place: int = 0) -> Delivery:
        """Do the job in this process, or in one of its own if it has a time limit.

        It fails if this machine lacks the device, or has other code that computes numbers than the sender.

        Parameters
        ----------
        threads
            Of the process.
        place
            As in `adu_bench.clip.device.resolve_device`.

        Raises
        ------
        Died
            If a process of its own ended before the job.
        """
        with _ALONE:
            if self.shared():
                return Delivery(*self._performed(self.job.store, threads, place))
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                _write(folder, self.files)
                ended = self._performed(Store(folder), threads, place)
                return Delivery(*ended, tuple(file for file in _contents(folder) if file not in self.files))

    def shared(self) -> bool:
        """Return whether this machine has the folder of the runs."""
        return (self.job.store.root / self.mark).is_file()

    def with_files(self) -> Parcel:
        """Return the parcel for a machine without the folder of the runs."""
        return replace(self, files=tuple(_contents(self.job.store.root, self.job.inputs)))

    def _performed(self, store: Store, threads: int, place: int) -> tuple[Outcome, float]:
        """Do the job with a store, and return its seconds; what keeps this machine from it is recorded as failure."""
        start, job = time.monotonic(), self.job.moved(store)
        try:
            if self.core != _core():
                raise UserError(
                    "The worker has another version of adu-bench.",
                    "Its code that computes numbers differs from that of the machine that sent the run.",
                    "Install the same version on all machines, and start the workers again.",
                )
            if self.timeout is not None:
                return limited(job, self.device, place, threads, self.timeout)
            outcome = perform_here(job, self.device, place, threads)
        except Died:
            raise
        except Exception as error:
            outcome = failed(job, error)
        return outcome, time.monotonic() - start


@cache
def _core() -> str:
    return core_digest(("adu_bench.api",))


def _contents(root: Path, folders: Iterable[str] = (".",)) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of the files in folders below a root, without hidden ones."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root)
            if path.is_file() and not name.parts[0].startswith("."):
                yield name.as_posix(), path.read_bytes()


def _write(root: Path, files: Iterable[tuple[str, bytes]]) -> None:
    for name, content in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@contextmanager
def packed(jobs: Sequence[Job], device: str, timeout: float | None = None) -> Iterator[list[Parcel]]:
    """Make jobs ready to be sent, while the folder of the runs is marked.

    Raises
    ------
    UserError
        If a job can only run on this machine.
    """
    mark, roots, parcels = f".shared-{uuid.uuid4().hex}", set(), []
    for job in jobs:
        if not hasattr(job, "moved"):
            raise UserError(
                f"'{job.title}' cannot run on a cluster.", "Only runs and audits travel.", "Leave out --cluster."
            )
        store = Store(job.store.root.absolute())  # type: ignore[attr-defined]
        roots.add(store.root)
        parcels.append(Parcel(job.moved(store), device, mark, _core(), timeout))
    try:
        for root in roots:
            (root / mark).touch()
        yield parcels
    finally:
        for root in roots:
            (root / mark).unlink(missing_ok=True)


def arrived(job: Job, delivery: Delivery) -> Result:
    """Store what came back, and return how the job ended."""
    outcome = delivery.outcome
    try:
        if delivery.files:
            with tempfile.TemporaryDirectory() as folder:
                _write(Path(folder), delivery.files)
                job.receive(Store(Path(folder)))  # type: ignore[attr-defined]
    except Exception as error:
        outcome = failed(job, error)
    # A worker that was lost after it stored the results leaves them to the one that repeats the job.
    return settled(Result(job, outcome.state, outcome.text, delivery.seconds))


def lost(job: Job, reason: str) -> Result:
    """Record that a job ended without a result."""
    job.fail("died", reason)
    return Result(job, "failed", reason, 0.0)


def wanted_threads(others: int) -> int:
    """Return OMP_NUM_THREADS of this process, or a number for where it is not set."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else max(1, others)
