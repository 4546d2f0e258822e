"""Run directories: written whole or not at all, checked when read."""

from adu_bench.store.runs import Run, Store

__all__ = ["Run", "Store"]
