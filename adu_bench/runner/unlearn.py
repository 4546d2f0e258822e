"""Load, seed and run a method; all parts of the package do this here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.precision import make_deterministic
from adu_bench.clip.turns import clock
from adu_bench.core.progress import Progress, silent
from adu_bench.core.seeds import derive
from adu_bench.core.specs import RunSpec
from adu_bench.registry import load_class
from adu_bench.runner.task_data import TaskData
from adu_bench.training.problem import Problem


@dataclass(frozen=True)
class Unlearned:
    """The result of a method.

    Parameters
    ----------
    problem
        The problem that the method received.
    classifier
        The classifier that it returned, in eval mode.
    seconds
        The duration of `Method.unlearn`; the run's share where several runs are trained together.
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
    """Run a method on one task.

    Parameters
    ----------
    path, class_name
        File and name of the method's class.
    spec
        Hyper-parameters, task, seed, and training settings.
    data
        The task's images.
    record
        Called with the named numbers that the method logs.
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
    start = clock()
    classifier = method.unlearn(problem).eval()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return Unlearned(problem, classifier, clock() - start)
