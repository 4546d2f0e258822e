"""Suites: which tasks, seeds, backbone and training budget make up a benchmark."""

from adu_bench.suites.suite import Suite, load_suite, suite_names

__all__ = ["Suite", "load_suite", "suite_names"]
