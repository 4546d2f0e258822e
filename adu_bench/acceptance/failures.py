"""Checks that runs end as they should when a worker, its memory or its device fails, and that the next run is right."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from adu_bench.acceptance.lines import Line, Setting, judge, needs_gpu
from adu_bench.core.progress import Progress
from adu_bench.registry import Catalogue
from adu_bench.runner.executors.interface import Job, State
from adu_bench.runner.executors.local import LocalProcesses
from adu_bench.runner.job import RunJob
from adu_bench.runner.plan import PlannedRun, plan
from adu_bench.store import Store
from adu_bench.suites import load_suite

AGREEMENT = 0.99
"""Smallest share of predictions that are equal with another number of workers, whose threads round differently."""


@dataclass(frozen=True)
class Noted:
    """A job that notes the process in which it runs."""

    folder: Path
    title: str

    def note(self) -> None:
        """Write the process's number."""
        (self.folder / f"{self.title}.pid").write_text(str(os.getpid()), encoding="utf-8")


@dataclass(frozen=True)
class Broken(Noted):
    """A job that fails: ``killed``, ``out of memory`` or ``device lost``."""

    def run(self, device: str, progress: Progress) -> tuple[State, str]:
        """Fail as the title says."""
        self.note()
        if self.title == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.title == "out of memory":
            torch.empty(2**60, dtype=torch.uint8, device=device)
        elif device == "cuda":
            torch.zeros(1, device=device)[torch.tensor([9], device=device)].cpu()
        raise RuntimeError("CUDA error: device-side assert triggered")

    def fail(self, kind: str, reason: str, traceback: str = "") -> None:
        """Record nothing: the result says how the job ended."""


@dataclass(frozen=True)
class After(Noted):
    """A run that comes after a failure."""

    job: RunJob

    def run(self, device: str, progress: Progress) -> tuple[State, str]:
        """Execute the run."""
        self.note()
        return self.job.run(device, progress)

    def fail(self, kind: str, reason: str, traceback: str = "") -> None:
        """Record the failure."""
        self.job.fail(kind, reason, traceback)


BROKEN = {"killed": True, "device lost": True, "out of memory": False}
"""By failure whether the next run needs a new worker."""


def failures_and_workers(setting: Setting) -> Iterator[Line]:
    """Let one worker fail in each way before a run, then run the same with more workers and compare."""
    suite = load_suite("toy").with_seeds(range(1, len(BROKEN) + 1))
    runs = plan(suite, Catalogue().select(["baseline[epochs=1]"]), limit=1).runs
    alone = Store(setting.folder / "alone")
    jobs: list[Job] = []
    for title, run in zip(BROKEN, runs, strict=True):
        jobs += [
            Broken(setting.folder, title),
            After(setting.folder, f"after {title}", RunJob(run, alone)),
        ]
    results = {result.job.title: result for result in LocalProcesses(setting.device).run(jobs)}
    for title, renewed in BROKEN.items():
        before, after = results[title], results[f"after {title}"]
        fresh = _process(setting, title) != _process(setting, f"after {title}")
        yield judge(
            f"{title}, and the run after",
            (before.state, after.state, fresh) == ("failed", "done", renewed),
            f"{before.state} ({before.text}); then {after.state} in {'a new' if fresh else 'the same'} worker",
            f"failed; then done in {'a new' if renewed else 'the same'} worker",
        )
    for workers in (2, 4):
        name, threshold = f"{workers} workers on one device", f"at least {AGREEMENT:.0%} of predictions as with one"
        if workers > 2 and not setting.gpu:
            yield needs_gpu(name, threshold)
            continue
        together = Store(setting.folder / f"workers-{workers}")
        states = [r.state for r in LocalProcesses(setting.device, workers).run([RunJob(r, together) for r in runs])]
        same = min(_agreement(run, alone, together) for run in runs) if set(states) == {"done"} else 0.0
        yield judge(name, same >= AGREEMENT, f"{', '.join(states)}; {same:.2%} of predictions", threshold)


def _process(setting: Setting, title: str) -> str:
    return (setting.folder / f"{title}.pid").read_text(encoding="utf-8")


def _agreement(run: PlannedRun, *stores: Store) -> float:
    first, second = (store.load(run.spec.key).predictions()["predicted"].to_numpy() for store in stores)
    return float((first == second).mean())
