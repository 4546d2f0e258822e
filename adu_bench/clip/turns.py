"""Trainings of several runs in one process that take turns, and do their expensive steps together.

Each run has a thread, but only the one whose turn it is computes, so the code of a method needs no change.  Where a
classifier encodes images and where `adu_bench.training.loop.fit` computes gradients, a run waits until all others are
there as well; then one forward or one backward pass serves them all.  A run keeps its random state while others have
their turn, so it draws what it would draw alone, and its results are the same up to rounding.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
Joint = Callable[[list[Any]], list[Any]]
"""Computes the results of several runs from what each of them brought, in the same order."""


class Parted(Exception):
    """A joint step failed, so its runs cannot go on together; each of them can still be run alone."""


@dataclass
class _Seat:
    """A run among others, and what it waits for."""

    group: Turns
    number: int
    step: str = ""
    brought: Any = None
    joint: Joint | None = None
    weight: float = 1.0
    found: Any = None
    done: bool = True
    """Whether the run can go on: it has not begun, or its result is there."""
    in_step: bool = False
    spent: float = 0.0
    since: float = field(default_factory=time.perf_counter)


_local = threading.local()


def current() -> _Seat | None:
    """Return the seat of the calling thread, None where a run is alone."""
    return getattr(_local, "seat", None)


@contextmanager
def training_step() -> Iterator[None]:
    """Mark a step whose gradients are computed by `together`: only there may runs share a graph."""
    seat = current()
    if seat is None:
        yield
        return
    seat.in_step = True
    try:
        yield
    finally:
        seat.in_step = False


def shares_steps() -> bool:
    """Return whether the calling run is in a training step that it does together with others."""
    seat = current()
    return seat is not None and seat.in_step


def clock() -> float:
    """Return a time in seconds whose differences are what the calling run has cost: its share of joint steps only."""
    seat = current()
    now = time.perf_counter()
    return now if seat is None else seat.spent + now - seat.since


def together(step: str, brought: Any, joint: Joint, weight: float = 1.0) -> Any:
    """Compute a step with the other runs of the group, and return this run's result; alone without a group.

    Parameters
    ----------
    step
        ``forward`` or ``backward``.  Forward passes wait for the runs that are in front of one; a backward pass waits
        until all runs are, since it frees the graph that they share.
    brought
        What this run adds.
    joint
        Computes the results; the same function for all.
    weight
        This run's share of the time, relative to the others'.

    Raises
    ------
    Parted
        If the joint step failed.
    """
    seat = current()
    if seat is None:
        return joint([brought])[0]
    return seat.group.meet(seat, step, brought, joint, weight)


class Turns:
    """A group of runs that take turns.

    Parameters
    ----------
    device
        The device whose random state each run keeps.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._change = threading.Condition()
        self._turn: _Seat | None = None
        self._seats: list[_Seat] = []

    def run(self, tasks: Sequence[Callable[[], Result]]) -> list[Result | BaseException]:
        """Call each task in a thread of its own, and return their results, or what they raised, in order."""
        found: list[Any] = [None] * len(tasks)
        self._seats = [_Seat(self, number) for number in range(len(tasks))]
        self._turn = self._seats[0] if self._seats else None
        threads = [
            threading.Thread(target=self._take_part, args=(seat, task, found), name=f"run {seat.number}", daemon=True)
            for seat, task in zip(list(self._seats), tasks, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    def _take_part(self, seat: _Seat, task: Callable[[], Any], found: list[Any]) -> None:
        _local.seat = seat
        self._await(seat)
        try:
            found[seat.number] = task()
        except BaseException as error:
            found[seat.number] = error
        finally:
            _local.seat = None
            with self._change:
                self._seats.remove(seat)
                self._pass_on(seat)

    def meet(self, seat: _Seat, step: str, brought: Any, joint: Joint, weight: float) -> Any:
        """Wait for the others, and return this run's part of the joint result; see `together`."""
        seat.step, seat.brought, seat.joint, seat.weight, seat.done = step, brought, joint, weight, False
        with _kept_random_state(self.device):
            with self._change:
                seat.spent += time.perf_counter() - seat.since
                self._pass_on(seat)
            self._await(seat)
            if not seat.done:
                self._compute()
        found, seat.found, seat.brought = seat.found, None, None
        if isinstance(found, Parted):
            raise found
        return found

    def _await(self, seat: _Seat) -> None:
        with self._change:
            self._change.wait_for(lambda: self._turn is seat)
        seat.since = time.perf_counter()

    def _pass_on(self, seat: _Seat) -> None:
        """Give the turn to the next run that can go on; if all wait, to one that then computes for all."""
        if self._seats:
            after = sorted(self._seats, key=lambda other: (other.number <= seat.number, other.number))
            free = [other for other in after if other.done]
            waiting = [other for other in self._seats if other.step in self._steps()]
            self._turn = free[0] if free else waiting[0]
        self._change.notify_all()

    def _steps(self) -> tuple[str, ...]:
        """Return which step is next while all runs wait."""
        return ("forward",) if any(seat.step == "forward" for seat in self._seats) else ("backward",)

    def _compute(self) -> None:
        """Compute the next step of all runs that wait for it, in the thread of one of them."""
        start = time.perf_counter()
        seats = [seat for seat in self._seats if seat.step in self._steps()]
        joint = seats[0].joint
        assert joint is not None
        try:
            results = joint([seat.brought for seat in seats])
        except Exception as error:
            parted = Parted(f"{type(error).__name__}: {error}")
            parted.__cause__ = error
            results = [parted] * len(seats)
        seconds, whole = time.perf_counter() - start, sum(seat.weight for seat in seats)
        for seat, result in zip(seats, results, strict=True):
            seat.found, seat.done, seat.step = result, True, ""
            seat.spent += seconds * seat.weight / whole
        _current_seat().since = time.perf_counter()


def _current_seat() -> _Seat:
    seat = current()
    assert seat is not None
    return seat


@contextmanager
def _kept_random_state(device: torch.device) -> Iterator[None]:
    """Restore torch's random state at the end."""
    state = torch.get_rng_state()
    on_device: Tensor | None = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        torch.set_rng_state(state)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)
