"""Suites: which tasks, seeds, backbone and training budget make up a benchmark."""

from adu_bench.suites.reading import keep_suite, load_suite, suite_name, suite_names
from adu_bench.suites.suite import Suite

__all__ = ["Suite", "keep_suite", "load_suite", "suite_name", "suite_names"]
