"""Check that a method or an audit keeps the contract that the harness relies on, on a small toy problem."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from typing import Any

from adu_bench.cli.common import flag, from_option
from adu_bench.core.checks import CheckFailed
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError
from adu_bench.core.words import counted

BOUNDS = """add them to the class, for example bounds = {"epochs": ">= 1", "lr": "> 0"}"""


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument(
        "method", type=str, nargs="?", default="", metavar="NAME", help="a method, a group of methods, or an audit"
    )
    flag(parser, "all", "check every method, including ablations, and every audit")
    from_option(parser)
    parser.add_argument("--timeout", type=float, default=0.0, metavar="S", help="end a check after S seconds")


def run(options: Any) -> int:
    """Run the checks; 1 if one failed."""
    if not options.method and not options.all:
        raise UserError(
            "No method or audit was named.", "A check needs one.", "adu-bench check NAME, or adu-bench check --all"
        )
    if options.method and options.all:
        raise UserError(
            f"--all and '{options.method}' were both given.",
            "--all checks every method and audit.",
            f"{command('check', options.method)}, or {command('check', all=True)}",
        )
    if not 0 <= options.timeout < float("inf"):
        raise UserError(
            f"--timeout {options.timeout} is not a time.", "It counts seconds, from 0.", "Leave it out for no limit."
        )
    from adu_bench.audits.catalogue import find_audits
    from adu_bench.workflows.selection import open_catalogue

    catalogue, audits = open_catalogue(options["from"]), find_audits(options["from"])
    if options.all:
        methods, chosen = catalogue.select(["all,ablation"]), list(audits.values())
    elif options.method in audits:
        methods, chosen = [], [audits[options.method]]
    else:
        methods, chosen = catalogue.select([options.method], audits, "method or audit"), []
    from adu_bench.audits.checks import run_audit_checks
    from adu_bench.conformance import run_checks

    failed = 0
    for method in methods:
        if method.entry.unbounded:
            print(f"{method.label}: no bounds for {', '.join(method.entry.unbounded)}: {BOUNDS}", flush=True)
        failed += _printed(method.label, limited(run_checks(method), options.timeout))
    for audit in chosen:
        failed += _printed(audit.name, limited(run_audit_checks(audit), options.timeout))
    for broken in catalogue.broken:
        if options.all or options.method in broken.names:
            failed += 1
            print(f"{broken.name}: broken: {broken.reason} ({broken.path})")
    counts = {"method": len(methods), "audit": len(chosen)}
    checked = " and ".join(counted(count, noun) for noun, count in counts.items() if count) or "Nothing"
    print(f"{checked}, {f'{failed} checks failed' if failed else 'all checks passed'}")
    return 1 if failed else 0


def limited(results: Iterable[tuple[str, str]], seconds: float) -> Iterator[tuple[str, str]]:
    """Yield the results of checks, each of which fails if it takes longer than some seconds (0 for no limit)."""

    def end(*_: Any) -> None:
        raise CheckFailed(f"The check took longer than {seconds:g} s (--timeout).")

    before = signal.signal(signal.SIGALRM, end) if seconds else None
    remaining = iter(results)
    try:
        while True:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            try:
                found = next(remaining, None)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if found is None:
                return
            yield found
    finally:
        if seconds:
            signal.signal(signal.SIGALRM, before)


def _printed(name: str, results: Iterable[tuple[str, str]]) -> int:
    """Print one line per check, and return how many failed."""
    failed = 0
    for check, reason in results:
        failed += bool(reason)
        print(f"{name}: {check.replace('_', ' ')}: {reason or 'ok'}", flush=True)
    return failed
