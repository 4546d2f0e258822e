"""Test what the classifiers of finished runs still know, and print what was found.

Results that are there are kept, so the same command continues where an earlier one stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adu_bench.cli.common import device_option, flag, plan_options, selection_of, study_option
from adu_bench.cli.terminal import console

if TYPE_CHECKING:
    from adu_bench.audits.catalogue import AuditEntry
    from adu_bench.runner.executors.interface import Executor, Result
    from adu_bench.runner.plan import Plan
    from adu_bench.store import Store


def options(parser: Any) -> None:
    """Add the command's options."""
    plan_options(parser)
    study_option(parser)
    parser.add_argument(
        "--audits", type=str, default="core", metavar="core|full|NAMES", help="which audits; full includes core"
    )
    parser.add_argument("--runs", type=str, default="runs", metavar="DIR", help="folder of the runs")
    device_option(parser)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    flag(parser, "force", "repeat audits that are done")
    flag(parser, "json", "print rows as JSON, and nothing else")


def run(options: Any) -> int:
    """Audit finished runs; 0 if all results are there, 1 if an audit failed, 130 after Ctrl-C."""
    from adu_bench.audits.catalogue import choose_audits, find_audits
    from adu_bench.store import Store
    from adu_bench.workflows.run import local_executor

    executor = local_executor(options.device, options.jobs)
    entries = choose_audits(options.audits, find_audits(options["from"]))
    store = Store(Path(options.runs))
    return audit_and_print(selection_of(options).plan(store), store, entries, executor, options, quiet=options.json)


def audit_and_print(
    plan: Plan, store: Store, entries: list[AuditEntry], executor: Executor, options: Any, *, quiet: bool = False
) -> int:
    """Audit the finished runs of a plan, and print a summary, or rows as JSON; returns as `run`.

    Parameters
    ----------
    plan, store
        The runs.
    entries
        The audits.
    executor
        Where to compute.
    options
        Gives ``force``.
    quiet
        Print nothing but JSON to standard output.
    """
    from adu_bench.audits.results import audit_rows
    from adu_bench.workflows.audit import finished_runs, inapplicable, pending

    runs = finished_runs(plan, store)
    jobs = pending(runs, store, entries, force=options.force)
    names = ", ".join(entry.name for entry in entries)
    if not quiet:
        print(f"Audits {names}: {len(runs)} finished runs, {len(jobs)} to audit, in {store.root}/")
    for sentence in inapplicable(runs, entries):
        print(sentence, file=sys.stderr if quiet else sys.stdout)
    try:
        failed = _run(jobs, executor, quiet) if jobs else []
    except KeyboardInterrupt:
        print("Interrupted; finished audits are kept. The same command continues.", file=sys.stderr)
        return 130
    rows = audit_rows(store.root, plan.suite.name, ((run.name, run.spec) for run in runs), entries)
    if quiet:
        print(rows.to_json(orient="records", indent=1))
    elif len(rows):
        _print_summary(rows, entries)
    for result in failed:
        print(f"Failed: {result.job.title}: {result.text}", file=sys.stderr)
    return 1 if failed else 0


def _run(jobs: list[Any], executor: Executor, quiet: bool) -> list[Result]:
    """Run audits, print a line per run, and return the failed results."""
    from adu_bench.cli.progress import display, result_line
    from adu_bench.workflows.audit import run_audits

    failed = []
    with display() as shown:
        for count, result in enumerate(run_audits(jobs, executor, shown), start=1):
            if not quiet:
                shown.line(result_line(result, count, len(jobs)))
            shown("audited runs", count, len(jobs))
            failed += [result] if result.state == "failed" else []
    return failed


def _print_summary(rows: Any, entries: list[AuditEntry]) -> None:
    from adu_bench.report.terminal.audits import print_audits

    print_audits(rows, [entry.card for entry in entries], console())
