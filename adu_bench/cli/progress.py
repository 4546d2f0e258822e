"""Show progress: bars with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from adu_bench.cli.terminal import printable

if TYPE_CHECKING:
    from adu_bench.runner.executors.interface import Result


class Display(Protocol):
    """A progress callback that also prints results between its bars."""

    def __call__(self, step: str, done: int, total: int, note: str = "") -> None:
        """Show progress; see `adu_bench.core.progress.Progress`."""

    def line(self, text: str) -> None:
        """Print a line to standard output."""


def result_line(result: Result, count: int, total: int) -> str:
    """Describe how a job ended, the ``count``-th of ``total``."""
    what = f"failed: {result.text}" if result.state == "failed" else result.text or f"{result.seconds:.1f} s"
    return f"[{count}/{total}] {result.job.title}: {what}"


@contextmanager
def display() -> Iterator[Display]:
    """Yield a display."""
    from rich.console import Console

    console = Console(file=getattr(sys.stderr, "raw", sys.stderr))  # bars move the cursor
    if console.is_terminal:
        with _bars(console) as bars:
            yield bars
    else:
        yield Lines()


class Lines:
    """Prints a line at every tenth of a step that takes longer than a moment, at most one in some seconds."""

    MOMENT = 2.0
    BETWEEN = 10.0

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}
        self.tenths: dict[str, int] = {}
        self.last = 0.0

    def __call__(self, step: str, done: int, total: int, note: str = "") -> None:
        """Print a line if one is due."""
        now = time.monotonic()
        begun = self.begun.setdefault(step, now)
        tenth = 10 * done // max(total, 1)
        due = now - begun > self.MOMENT and now - self.last > self.BETWEEN
        if due and self.tenths.get(step, 0) < tenth < 10:
            self.tenths[step], self.last = tenth, now
            left = (now - begun) * (total - done) / done
            words = f", {note}" if note else ""
            print(f"{step}: {done:,} of {total:,}{words}, about {_time(left)} left", file=sys.stderr, flush=True)
        if done >= total:
            self.begun.pop(step, None)
            self.tenths.pop(step, None)

    def line(self, text: str) -> None:
        """Print a line to standard output."""
        print(text, flush=True)


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


@contextmanager
def _bars(console: Any) -> Iterator[Display]:
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),  # the brackets of "adu[gamma=10]" are not markup
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bars(progress)


class _Bars:
    def __init__(self, progress: Any) -> None:
        self.progress = progress
        self.tasks: dict[str, Any] = {}

    def __call__(self, step: str, done: int, total: int, note: str = "") -> None:
        if step not in self.tasks:
            self.tasks[step] = self.progress.add_task(step, total=None)
        text = printable(f"{step}: {note}" if note else step)
        self.progress.update(self.tasks[step], completed=done, total=total, description=text)
        if done >= total:
            self.progress.remove_task(self.tasks.pop(step))

    def line(self, text: str) -> None:
        if sys.stdout.isatty():
            self.progress.console.print(printable(text), highlight=False, markup=False)
        else:
            print(text, flush=True)
