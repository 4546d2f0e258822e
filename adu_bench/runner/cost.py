"""The cost of runs before they start: counted passes, and a rough time that is marked as an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adu_bench.data.index import task_rows
from adu_bench.data.sources import open_source
from adu_bench.runner.plan import PlannedRun

MUCH = 5_000_000
"""Forward and backward passes of images above which the user is asked first."""
ESTIMATED = "ViT-B-16"
FLOP = 35e9
"""Operations of one image's forward pass through a ViT-B/16 at 224 pixels; backward to prompts costs the same."""
RATE = 100e12
"""Operations per second assumed for an A100-class GPU in half precision: a third of its peak."""


@dataclass(frozen=True)
class Cost:
    """The cost of some runs.

    Parameters
    ----------
    runs
        Number of runs.
    shots
        Training images of the largest run.
    passes
        Images that go forward and backward through the backbone, over all runs and epochs.
    tested
        Test images that go forward, over all runs.
    hours
        Estimate for one A100-class GPU; None for a backbone whose cost is not known.
    """

    runs: int
    shots: int
    passes: int
    tested: int
    hours: float | None

    @property
    def much(self) -> bool:
        """Whether the user should be asked first."""
        return self.passes >= MUCH

    def __str__(self) -> str:
        counted = (
            f"{self.runs:,} runs with up to {self.shots:,} training images each: {self.passes:,} forward and "
            f"backward passes, and {self.tested:,} forward passes of test images"
        )
        if self.hours is None:
            return f"{counted}."
        return (
            f"{counted}; roughly {self.hours:,.0f} h on one A100-class GPU (an estimate: {FLOP / 1e9:.0f} GFLOP per "
            f"pass at {RATE / 1e12:.0f} TFLOP/s, not a measurement)."
        )


def cost(runs: Sequence[PlannedRun]) -> Cost:
    """Count the passes of runs; methods without epochs train on frozen features or not at all, and count no passes."""
    tests: dict[tuple, int] = {}
    passes = tested = most = 0
    for run in runs:
        task = run.spec.task
        key = (task.dataset, task.domains, task.classes)
        if key not in tests:
            rows = task_rows(open_source(task.dataset).index, task.domains, task.classes)
            tests[key] = int((rows["pool"] == "test").sum())
        shots = task.shots * len(task.domains) * len(task.classes)
        epochs = dict(run.spec.method.fields).get("epochs")
        epochs = epochs if isinstance(epochs, int) else 0
        most, passes, tested = max(most, shots), passes + epochs * shots, tested + tests[key]
    known = bool(runs) and all(run.spec.backbone.name.startswith(ESTIMATED) for run in runs)
    hours = (2 * passes + tested) * FLOP / RATE / 3600 if known else None
    return Cost(len(runs), most, passes, tested, hours)
