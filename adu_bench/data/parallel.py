"""Work on many images at once, in order, with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from adu_bench.core.cores import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK = 8
"""Items that a thread takes at a time, since taking one item costs as much as decoding a tiny image."""
AHEAD = 4
"""Chunks that a thread may be ahead of the consumer: enough to keep it busy, few enough to bound memory."""


def in_order(work: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None) -> Iterator[Result]:
    """Yield ``work(item)`` for each item in the given order, computed by threads.

    Threads are enough: Pillow and hashlib release the interpreter lock while they work on an image.
    """
    workers = workers or usable_cores()
    running: deque[Future[list[Result]]] = deque()
    waiting = iter(items)
    pool = ThreadPoolExecutor(workers)
    try:
        while chunk := list(islice(waiting, CHUNK)):
            running.append(pool.submit(_all, work, chunk))
            if len(running) >= AHEAD * workers:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _all(work: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [work(item) for item in items]
