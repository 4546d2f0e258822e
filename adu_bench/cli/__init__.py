"""The command line: one file per command, which parses, calls a workflow and prints."""

from adu_bench.cli.main import main

__all__ = ["main"]
