"""adu-bench: benchmark and evaluation suite for approximate domain unlearning of CLIP-like models.

``import adu_bench as ab`` is quick: the functions below, and torch, are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOMES = {
    "bring": "adu_bench.workflows.bring",
    "evaluate": "adu_bench.workflows.applied",
    "load_runs": "adu_bench.workflows.runs",
    "new_method": "adu_bench.workflows.scaffold",
    "run": "adu_bench.workflows.runs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'adu_bench' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
