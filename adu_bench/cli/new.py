"""Write the first version of a new method: a file with its card, and a test."""

from __future__ import annotations

from typing import Any

from adu_bench.cli.common import DEFAULT_SUITE
from adu_bench.core.commands import command


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("kind", type=str, choices=["method"], help="what to write")
    parser.add_argument("name", type=str, metavar="NAME", help="the new method's name, such as my-method")
    parser.add_argument(
        "--like", type=str, default="baseline", metavar="METHOD", help="the method whose code it starts from"
    )
    parser.add_argument("--out", type=str, default=".", metavar="DIR", help="folder for both files")


def run(options: Any) -> int:
    """Write the files and say what to do next."""
    from adu_bench.workflows.scaffold import new_method

    method, test = new_method(options.name, like=options.like, out=options.out)
    print(f"Wrote {method} and {test}.")
    own = {"from": method}
    print(f"Check it: {command('check', options.name, **own)}")
    both = f"{options.name},{options.like}"
    print(f"Compare it: {command('run', suite=DEFAULT_SUITE, methods=both, **own)}")
    return 0
