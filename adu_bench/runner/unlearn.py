"""The one place that loads a method, seeds it and lets it work."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.precision import make_deterministic
from adu_bench.core.progress import Progress, silent
from adu_bench.core.seeds import derive
from adu_bench.core.specs import RunSpec
from adu_bench.registry import load_class
from adu_bench.runner.task_data import TaskData
from adu_bench.training.problem import Problem


@dataclass(frozen=True)
class Unlearned:
    """What a method made of a problem.

    Parameters
    ----------
    problem
        What it was given.
    classifier
        What it returned, in eval mode.
    seconds
        How long it took.
    """

    problem: Problem
    classifier: Classifier
    seconds: float


def unlearn(
    path: Path,
    class_name: str,
    spec: RunSpec,
    data: TaskData,
    *,
    record: Callable[[dict[str, float]], None] = lambda values: None,
    report: Progress = silent,
) -> Unlearned:
    """Let a method unlearn one task.

    Parameters
    ----------
    path, class_name
        Where the method's class is.
    spec
        Its hyper-parameters, the task, the seed, and how to compute.
    data
        The task's images.
    record
        Given the named numbers that the method logs.
    report
        Called while the method works.

    Raises
    ------
    RunFailed
        If training diverged or the method gave up.
    UserError
        If images or the method's file cannot be used.
    """
    device = data.backbone.device
    make_deterministic(device)
    method = load_class(path, class_name, spec.method.source_hash)(**dict(spec.method.fields))
    problem = data.problem(spec, record, report)
    torch.manual_seed(derive(spec.seed, "method"))
    start = time.perf_counter()
    classifier = method.unlearn(problem).eval()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return Unlearned(problem, classifier, time.perf_counter() - start)
