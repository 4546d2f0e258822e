"""Write the first version of a new method: a file with its card, and a test."""

from __future__ import annotations

from typing import Any


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
    print(f"Check it: adu-bench check {options.name} --from {method}")
    print(f"Compare it: adu-bench run --suite emoji-mini --methods {options.name},{options.like} --from {method}")
    return 0
