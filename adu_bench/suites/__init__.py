"""Suites: which tasks, seeds, backbone and training budget make up a benchmark."""

from adu_bench.suites.reading import load_suite, suite_names
from adu_bench.suites.suite import Suite

__all__ = ["Suite", "load_suite", "suite_names"]
