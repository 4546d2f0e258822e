"""The cost of runs before they start: counted passes, and a time from finished runs or, marked as such, an estimate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from adu_bench.clip.identity import SHIPPED
from adu_bench.core.words import counted
from adu_bench.data.index import task_rows
from adu_bench.data.sources import open_source
from adu_bench.runner.plan import PlannedRun
from adu_bench.store import Store

MUCH = 5_000_000
"""Forward and backward passes of images above which the user is asked first."""
MUCH_HOURS = 24
"""Hours above which the user is asked first."""
MUCH_CPU_HOURS = 1
"""Hours of the shipped backbone on a CPU above which the user is asked first."""
CPU_SECONDS, CPU_TEST_SECONDS = 5e-3, 2e-3
"""Seconds of a training image and of a test image through the shipped backbone, on one CPU core.  The first is
``seconds`` over ``image_passes`` of the 42 runs of `adu` in leaderboards/emoji (5.0 ms; 5.2 ms in emoji-mini).  The
second follows from processor times of one thread, which other computations disturb little: `unlearn` and then `predict`
with ``adu[epochs=4]`` on the first task of emoji-mini took 3.7 to 4.1 ms per training image and 1.3 to 2.0 ms per test
image.  ``timings`` in a run's run.json has both for any other run."""
ESTIMATED = "ViT-B-16"
FLOP = 35e9
"""Operations of one image's forward pass through a ViT-B/16 at 224 pixels; backward to prompts costs the same."""
TEXT_FLOP = 2e9
"""Operations of one class text through the text tower of a ViT-B/16: 38 million weights, 24 tokens."""
RATES = {"fp32": 12e12, "tf32": 60e12, "bf16": 100e12, "fp16": 100e12}
"""Operations per second assumed for an A100-class GPU by precision: between a third and two thirds of its peak."""
SAMPLED = 3
"""Finished runs whose times are averaged for each kind of run."""


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
        Test images that go forward, over all runs of methods that read images.
    texts
        Class texts that a search without gradients encodes, over all runs.
    measured
        Runs like which there are finished ones.
    measured_hours
        Their time by those, one after the other.
    hours
        Estimate of the other runs for one A100-class GPU; None if the cost of a backbone is not known.
    cpu_hours
        Estimate of the other runs of the shipped backbone for one CPU core.
    """

    runs: int
    shots: int
    passes: int
    tested: int
    texts: int
    measured: int
    measured_hours: float
    hours: float | None
    cpu_hours: float = 0.0

    @property
    def all_hours(self) -> float | None:
        """Measured and estimated time of all runs, one after the other; None if it is not known."""
        if self.hours is None and self.measured < self.runs:
            return None
        return self.measured_hours + (self.hours or 0)

    @property
    def much(self) -> bool:
        """Whether the user should be asked first."""
        expected = self.measured_hours + (self.hours or 0)
        return self.passes >= MUCH or expected >= MUCH_HOURS or self.cpu_hours >= MUCH_CPU_HOURS

    def __str__(self) -> str:
        text = (
            f"{counted(self.runs, 'run')} with up to {self.shots:,} training images each: {self.passes:,} forward and "
            f"backward passes, and {self.tested:,} forward passes of test images"
        )
        if self.texts:
            text += f", and {self.texts:,} of class texts"
        times = []
        if self.measured:
            times.append(
                f"{self.measured:,} of them {'needs' if self.measured == 1 else 'need'} {_shown(self.measured_hours)} "
                "in all, by the measured times of finished runs like them"
            )
        if self.hours is not None and self.measured < self.runs:
            times.append(
                f"{'the others' if self.measured else 'they'} need roughly {_shown(self.hours)} on one A100-class GPU "
                f"(an estimate: {FLOP / 1e9:.0f} GFLOP per pass at {RATES['fp32'] / 1e12:.0f} TFLOP/s in fp32, "
                f"{RATES['tf32'] / 1e12:.0f} in tf32 and {RATES['bf16'] / 1e12:.0f} in bf16, not a measurement)"
            )
        if self.cpu_hours:
            times.append(
                f"{'the others' if self.measured else 'they'} need roughly {_shown(self.cpu_hours)} on one CPU core "
                f"(an estimate: {1000 * CPU_SECONDS:g} ms per training image, {1000 * CPU_TEST_SECONDS:g} ms per "
                "test image)"
            )
        return "; ".join([text, *times]) + "."


def _shown(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.0f} h" if hours >= 10 else f"{hours:.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 1 / 60 else "less than a minute"


def cost(runs: Sequence[PlannedRun], finished: Iterable[PlannedRun] = (), store: Store | None = None) -> Cost:
    """Count the passes of runs, and estimate their time.

    Methods without ``epochs`` read frozen features: they need no pass of a training or test image.  A method with
    ``iterations`` and a ``population`` encodes all class texts for each candidate.

    Parameters
    ----------
    runs
        The runs.
    finished
        Finished runs, some of which may be like the runs to come: with the same method, fields, data set, number of
        classes, shots and backbone.
    store
        Where the finished runs are.
    """
    times = _times(finished, store) if store is not None else {}
    tests: dict[tuple, int] = {}
    passes = tested = texts = most = measured = 0
    measured_hours = estimate = cpu = 0.0
    known = True
    for run in runs:
        spec, task = run.spec, run.spec.task
        key = (task.dataset, task.domains, task.classes)
        if key not in tests:
            rows = task_rows(open_source(task.dataset).index, task.domains, task.classes)
            tests[key] = int((rows["pool"] == "test").sum())
        shots = task.shots * len(task.domains) * len(task.classes)
        fields = dict(spec.method.fields)
        epochs, candidates = _count(fields, "epochs"), _count(fields, "iterations") * _count(fields, "population")
        own_passes, own_tests = epochs * shots, tests[key] if epochs else 0
        own_texts = candidates * len(task.classes)
        most, passes, tested, texts = max(most, shots), passes + own_passes, tested + own_tests, texts + own_texts
        if (like := _kind(run)) in times:
            measured, measured_hours = measured + 1, measured_hours + times[like] / 3600
            continue
        if spec.backbone.name == SHIPPED:
            cpu += (own_passes * CPU_SECONDS + own_tests * CPU_TEST_SECONDS) / 3600
        known = known and spec.backbone.name.startswith(ESTIMATED)
        # A search is computed in fp32, since it has no training loop.
        estimate += hours(2 * own_passes, spec.training.precision) + hours(own_tests, spec.training.evaluation)
        estimate += hours(own_texts * TEXT_FLOP / FLOP, "fp32")
    gpu = estimate if runs and known else None
    return Cost(len(runs), most, passes, tested, texts, measured, measured_hours, gpu, cpu)


def longest_first(runs: Sequence[PlannedRun], finished: Iterable[PlannedRun], store: Store) -> tuple[PlannedRun, ...]:
    """Order runs so that several workers end at about the same time; runs of unknown duration come first.

    Parameters
    ----------
    runs, finished, store
        As in `cost`.
    """
    times = _times(finished, store)
    return tuple(sorted(runs, key=lambda run: -times.get(_kind(run), float("inf"))))


def hours(images: float, precision: str) -> float:
    """Return the estimated hours of an A100-class GPU for forward passes of images through a ViT-B/16."""
    return images * FLOP / RATES[precision] / 3600


def _count(fields: dict, name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else 0


def _kind(run: PlannedRun) -> tuple:
    """Return what runs of about the same duration have in common."""
    spec, task = run.spec, run.spec.task
    return spec.method, task.dataset, task.domains, len(task.classes), task.shots, spec.backbone, spec.training


def _times(finished: Iterable[PlannedRun], store: Store) -> dict[tuple, float]:
    """Return the mean seconds of training and evaluation of some finished runs of each kind."""
    keys: dict[tuple, list[str]] = defaultdict(list)
    for run in finished:
        if len(own := keys[_kind(run)]) < SAMPLED and store.has(run.spec.key):
            own.append(run.spec.key)
    return {
        kind: mean(sum(store.load(key).info["timings"].values()) for key in own) for kind, own in keys.items() if own
    }
