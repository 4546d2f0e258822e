"""How much arithmetic the harness saves over open_clip's own blocks, which no machine's speed changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.loading import random_backbone
from adu_bench.runner.task_data import TaskData, load_shared_backbone
from adu_bench.speed.harness import METHODS, short_training, tower_pairs
from adu_bench.suites import Suite


def work_of(step: Callable[[], object]) -> int:
    """Return the floating-point operations of the matrix products of a step, forward and backward.

    Call it outside inference mode, where torch does not take linear layers apart.  On a CPU torch counts no attention.
    """
    with _Counter() as counter:
        step()
    return counter.found


def suite_work(suite: Suite) -> dict[str, float]:
    """Return the reference's operations over those of the harness, on a suite's first task.

    Returns
    -------
    dict
        ``train_ratio.METHOD`` and ``eval_ratio``, as `adu_bench.speed.harness.measure` names the times.
    """
    data = TaskData(suite.tasks()[0], load_shared_backbone(suite.backbone, "cpu"))
    trainings = {name: short_training(name, suite, data) for name in METHODS}
    found = {f"train_ratio.{name}": work_of(own.bare) / work_of(own.harness) for name, own in trainings.items()}
    return found | {"eval_ratio": _tower_work(data.backbone)["eval_ratio"]}


def tower_work(model: str) -> dict[str, float]:
    """Return the same for the image tower of an open_clip model, by the names of `measure_tower`."""
    return _tower_work(random_backbone(model, "cpu"))


def _tower_work(backbone: Backbone) -> dict[str, float]:
    side = backbone.preprocessing.size
    pairs = tower_pairs(backbone, torch.randn(1, 3, side, side))
    return {name: work_of(reference) / work_of(harness) for name, (harness, reference) in pairs.items()}


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if (counted := flop_registry.get(func._overloadpacket)) is not None:
            self.found += counted(*args, **(kwargs or {}), out_val=made)
        return made
