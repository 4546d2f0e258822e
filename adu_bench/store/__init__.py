"""Run directories: they are complete when they exist, and are checked when they are read."""

from adu_bench.store.runs import Run, Store

__all__ = ["Run", "Store"]
