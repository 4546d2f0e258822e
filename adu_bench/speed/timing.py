"""Time functions alternately, so that noise on the machine affects all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from adu_bench.core.progress import Count


def interleaved(
    harness: Callable[[], object],
    other: Callable[[], object],
    rounds: int,
    device: str,
    report: Count,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Time two functions alternately, after one call of each to warm up.

    Parameters
    ----------
    harness, other
        Do the same work.
    rounds
        Calls of each that are timed.
    device
        The device whose work is awaited.
    report
        Called with the rounds done and asked for.
    clock
        Returns seconds; see `clock_for`.

    Returns
    -------
    tuple
        The median over rounds of ``other``'s time over ``harness``'s, and the harness's median time in seconds.
    """
    harness()  # warm up
    other()
    ratios, seconds = [], []
    for number in range(rounds):
        report(number, rounds)
        ours, theirs = _timed(harness, device, clock), _timed(other, device, clock)
        ratios.append(theirs / ours)
        seconds.append(ours)
    report(rounds, rounds)
    return statistics.median(ratios), statistics.median(seconds)


def clock_for(device: str, workers: int = 0) -> Callable[[], float]:
    """Return the clock that busy neighbours disturb least.

    A single thread on a CPU is timed by the processor's time, which does not run while another process has the core.
    Several threads, other processes and GPUs wait for each other, which only the wall clock sees.
    """
    return time.process_time if device == "cpu" and torch.get_num_threads() == 1 and not workers else time.perf_counter


def _timed(work: Callable[[], object], device: str, clock: Callable[[], float]) -> float:
    _wait(device)
    start = clock()
    work()
    _wait(device)
    return clock() - start


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
