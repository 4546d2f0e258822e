"""A job on another machine: it works in the folder of the runs where it finds that, else its results are sent back."""

from __future__ import annotations

import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from adu_bench.core.errors import UserError
from adu_bench.core.progress import silent
from adu_bench.registry.fingerprint import core_digest
from adu_bench.runner.executors.interface import Job, Outcome, Result, failed, perform
from adu_bench.store import Store

_ALONE = threading.Lock()
"""Jobs seed torch's random numbers and set its threads, so a process does one at a time."""


class Movable(Job, Protocol):
    """A job that can be done on another machine."""

    @property
    def store(self) -> Store:
        """Where its results go."""

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
    """

    job: Movable
    device: str
    mark: str
    core: str

    def do(self, threads: int, place: int = 0) -> Delivery:
        """Do the job in this process; ``place`` as in `adu_bench.clip.device.resolve_device`.

        It fails if this process lacks the device, or has other code that computes numbers than the sender.
        """
        with _ALONE:
            start, store = time.monotonic(), self.job.store
            if (store.root / self.mark).is_file():
                return Delivery(self._performed(store, threads, place), time.monotonic() - start)
            with tempfile.TemporaryDirectory() as folder:
                outcome = self._performed(Store(Path(folder)), threads, place)
                return Delivery(outcome, time.monotonic() - start, tuple(_contents(Path(folder))))

    def _performed(self, store: Store, threads: int, place: int) -> Outcome:
        """Do the job with a store; what keeps this process from doing it is recorded as its failure."""
        from adu_bench.clip.device import resolve_device
        from adu_bench.runner.executors.worker import limit_threads

        job = self.job.moved(store)
        try:
            if self.core != _core():
                raise UserError(
                    "The worker has another version of adu-bench.",
                    "Its code that computes numbers differs from that of the machine that sent the run.",
                    "Install the same version on all machines, and start the workers again.",
                )
            limit_threads(threads)
            device = resolve_device(self.device, place)
        except Exception as error:
            return failed(job, error)
        return perform(job, device, silent)


@cache
def _core() -> str:
    return core_digest(("adu_bench.api",))


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not name.parts[0].startswith("."):
            yield name.as_posix(), path.read_bytes()


@contextmanager
def packed(jobs: Sequence[Job], device: str) -> Iterator[list[Parcel]]:
    """Make jobs ready to be sent, while the folder of the runs is marked.

    Raises
    ------
    UserError
        If a job can only run on this machine.
    """
    mark, roots, parcels = f".shared-{uuid.uuid4().hex}", set(), []
    for job in jobs:
        if not hasattr(job, "moved"):
            raise UserError(f"'{job.title}' cannot run on a cluster.", "Only runs travel.", "Leave out --cluster.")
        store = Store(job.store.root.absolute())  # type: ignore[attr-defined]
        roots.add(store.root)
        parcels.append(Parcel(job.moved(store), device, mark, _core()))
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
                for name, content in delivery.files:
                    path = Path(folder) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                job.receive(Store(Path(folder)))  # type: ignore[attr-defined]
    except Exception as error:
        outcome = failed(job, error)
    return Result(job, outcome.state, outcome.text, delivery.seconds)


def lost(job: Job, reason: str) -> Result:
    """Record that a job ended without a result."""
    job.fail("died", reason)
    return Result(job, "failed", reason, 0.0)


def wanted_threads(others: int) -> int:
    """Return OMP_NUM_THREADS of this process, or a number for where it is not set."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else max(1, others)
