"""Progress of runs: live bars on a terminal, a line a run elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adu_bench.runner.executors import Listener
    from adu_bench.runner.plan import PlannedRun
    from adu_bench.runner.worker import Event


@contextmanager
def watch(total: int) -> Iterator[Listener]:
    """Yield a listener for `run_all` that shows ``total`` runs."""
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        with _bars(console, total) as listener:
            yield listener
    else:
        yield _Lines(total)


class _Lines:
    def __init__(self, total: int) -> None:
        self.total, self.count = total, 0

    def __call__(self, run: PlannedRun, event: Event, seconds: float) -> None:
        if event.kind == "progress":
            return
        self.count += 1
        print(_line(self.count, self.total, run, event, seconds), flush=True)


def _line(count: int, total: int, run: PlannedRun, event: Event, seconds: float) -> str:
    what = {"done": f"{seconds:.1f} s", "failed": f"failed: {event.text}"}.get(event.kind, event.text)
    return f"[{count}/{total}] {run.title}: {what}"


@contextmanager
def _bars(console: Any, total: int) -> Iterator[Listener]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),  # the brackets of "adu[gamma=10]" are no markup
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        overall = progress.add_task("runs", total=total)
        running: dict[str, Any] = {}
        count = 0

        def listen(run: PlannedRun, event: Event, seconds: float) -> None:
            nonlocal count
            key = run.spec.key
            if key not in running:
                running[key] = progress.add_task(run.title, total=100)
            progress.update(running[key], completed=100 * event.share, description=f"{run.title}: {event.text}")
            if event.kind != "progress":
                progress.remove_task(running.pop(key))
                count += 1
                progress.advance(overall)
                progress.console.print(_line(count, total, run, event, seconds), highlight=False, markup=False)

        yield listen
    sys.stdout.flush()


@contextmanager
def steps() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Yield what starts a step of a name and returns what to call with how much is done, and of how much.

    A terminal shows a bar a step; elsewhere there is a line at every tenth of a step that takes longer than a moment.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Tenths
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:

        def start(name: str) -> Callable[[int, int], None]:
            task = progress.add_task(name, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield start


class _Tenths:
    """Prints a line at every tenth of a step, but not for a step of a moment."""

    MOMENT = 2.0

    def __init__(self, name: str) -> None:
        self.name, self.begun, self.tenth = name, time.monotonic(), 0

    def __call__(self, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth > self.tenth and time.monotonic() - self.begun > self.MOMENT:
            self.tenth = tenth
            print(f"{self.name}: {done:,} of {total:,}", file=sys.stderr, flush=True)
