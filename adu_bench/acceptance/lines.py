"""The lines of the acceptance battery and the setting that its checks share."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.loading import random_backbone
from adu_bench.core.paths import cache_in
from adu_bench.core.progress import Progress, silent
from adu_bench.runner.task_data import TaskData, load_shared_backbone
from adu_bench.suites import load_suite

PASSED, FAILED, NOT_MEASURED = "pass", "fail", "not measured"
NEEDS_GPU = "needs a GPU"
LARGE = "ViT-B-16-quickgelu"
"""The model whose speed is measured on a GPU, with random weights."""


@dataclass(frozen=True)
class Line:
    """One line of the battery.

    Parameters
    ----------
    name
        What is checked.
    state
        ``pass``, ``fail`` or ``not measured``.
    found
        What was measured, or why nothing was.
    threshold
        What must hold.
    """

    name: str
    state: str
    found: str
    threshold: str


@dataclass
class Setting:
    """What the checks share.

    Parameters
    ----------
    device
        ``cpu`` or ``cuda``.
    folder
        An empty folder for runs.
    """

    device: str
    folder: Path
    rates: dict[str, float] = field(default_factory=dict)
    """Images per second that speed checks measured, by what was done."""

    @property
    def gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device == "cuda"

    @cached_property
    def large(self) -> Backbone:
        """The backbone whose speed is measured: `LARGE` on a GPU, the shipped model on a CPU."""
        return random_backbone(LARGE, self.device) if self.gpu else load_shared_backbone("emoji-clip", "cpu")

    @cached_property
    def toy(self) -> TaskData:
        """The first task of the toy suite on the shipped model."""
        suite = load_suite("toy")
        return TaskData(suite.tasks()[0], load_shared_backbone(suite.backbone, self.device))


Check = Callable[[Setting], Iterator[Line]]


def judge(name: str, holds: bool, found: str, threshold: str) -> Line:
    """Return a line that passes if something holds."""
    return Line(name, PASSED if holds else FAILED, found, threshold)


def speed(setting: Setting, name: str, holds: bool, found: str, threshold: str) -> Line:
    """Return a line that is judged on a GPU; on a CPU, whose load is not known, it passes once the work is done."""
    if setting.gpu:
        return judge(name, holds, found, threshold)
    return Line(name, PASSED, found, "finishes (speed is judged on a GPU only)")


def needs_gpu(name: str, threshold: str) -> Line:
    """Return the line of something that only a GPU has."""
    return Line(name, NOT_MEASURED, NEEDS_GPU, threshold)


def run_battery(checks: Sequence[Check], device: str, report: Progress = silent) -> Iterator[Line]:
    """Run checks on a device, and yield their lines; a check that raises an error is a line that fails.

    Parameters
    ----------
    checks
        What to run, in this order.
    device
        ``cpu`` or ``cuda``.
    report
        Called before each check.
    """
    with tempfile.TemporaryDirectory() as folder, cache_in(Path(folder) / "cache"):
        setting = Setting(device, Path(folder))
        for number, check in enumerate(checks):
            name = check.__name__.replace("_", " ")
            report("acceptance", number, len(checks), name)
            try:
                yield from check(setting)
            except Exception as error:
                first = str(error).splitlines()[0] if str(error) else "no message"
                yield Line(name, FAILED, f"{type(error).__name__}: {first}", "raises no error")
        report("acceptance", len(checks), len(checks))


def seconds(work: Callable[[], object], device: str) -> float:
    """Return the seconds that some work takes, with all that it started on the device."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
