"""Where the time of a short training goes."""

from __future__ import annotations

from typing import Any

from torch.profiler import ProfilerActivity, profile

from adu_bench.runner.task_data import TaskData, load_shared_backbone
from adu_bench.speed.harness import short_training
from adu_bench.suites import Suite

GROUPS = {
    "matrix products": ("addmm", "mm", "bmm", "convolution"),
    "attention": ("scaled_dot_product",),
    "activations and LayerNorm": ("gelu", "layer_norm", "sigmoid"),
    "resampling of crops": ("embedding_bag",),
    "copies of tensors": ("copy_", "cat", "index"),
}
"""Parts of operators' names by kind; the first that fits counts."""
REST = "all else"


def time_by_operator(suite: Suite, method: str) -> dict[str, float]:
    """Return the shares of the CPU's time by kind of operator, 0..1, of a short training by a method.

    The first task of the suite is trained on the CPU, after a training that warms up.
    """
    data = TaskData(suite.tasks()[0], load_shared_backbone(suite.backbone, "cpu"))
    training = short_training(method, suite, data)
    training.harness()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        training.harness()
    return shares(found.key_averages())


def shares(events: Any) -> dict[str, float]:
    """Return the shares of the profiler's events (with ``key`` and ``self_cpu_time_total``) by kind of operator."""
    times = dict.fromkeys([*GROUPS, REST], 0.0)
    for event in events:
        kind = next((kind for kind, parts in GROUPS.items() if any(part in event.key for part in parts)), REST)
        times[kind] += event.self_cpu_time_total
    return {kind: time / sum(times.values()) for kind, time in times.items()}
