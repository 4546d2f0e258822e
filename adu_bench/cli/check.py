"""Check that a method keeps the contract that the harness relies on, on a small toy problem."""

from __future__ import annotations

from typing import Any

from adu_bench.cli.common import flag, from_option
from adu_bench.core.errors import UserError

BOUNDS = """add them to the class, for example bounds = {"epochs": ">= 1", "lr": "> 0"}"""


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("method", type=str, nargs="?", default="", metavar="METHOD", help="name, group or all")
    flag(parser, "all", "check every method, including ablations")
    from_option(parser)


def run(options: Any) -> int:
    """Run the checks; 1 if one failed."""
    if not options.method and not options.all:
        raise UserError(
            "No method was named.", "A check needs one.", "adu-bench check METHOD, or adu-bench check --all"
        )
    from adu_bench.workflows.selection import open_catalogue

    catalogue = open_catalogue(options["from"])
    chosen = catalogue.select(["all,ablation"] if options.all else [options.method])
    from adu_bench.conformance import run_checks

    failed = 0
    for choice in chosen:
        if choice.entry.unbounded:
            print(f"{choice.label}: no bounds for {', '.join(choice.entry.unbounded)}: {BOUNDS}", flush=True)
        for name, reason in run_checks(choice):
            failed += bool(reason)
            print(f"{choice.label}: {name.replace('_', ' ')}: {reason or 'ok'}", flush=True)
    for broken in catalogue.broken:
        if options.all or broken.name == options.method:
            failed += 1
            print(f"{broken.name}: broken: {broken.reason} ({broken.path})")
    print(f"{len(chosen)} methods, {failed} checks failed" if failed else f"{len(chosen)} methods, all checks passed")
    return 1 if failed else 0
