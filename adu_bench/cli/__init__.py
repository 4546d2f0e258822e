"""The command line: one thin file a subcommand, which parses, calls and prints."""

from adu_bench.cli.main import main

__all__ = ["main"]
