"""Run methods on a suite, and print the leaderboard.

Finished runs are skipped, so the same command continues where an earlier one stopped.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from adu_bench.cli.common import device_option, flag, fuse_option, plan_options, selection_of, study_option
from adu_bench.cli.terminal import console
from adu_bench.core.errors import UserError
from adu_bench.core.words import counted, size_of

if TYPE_CHECKING:
    from adu_bench.workflows.run import Execution


def options(parser: Any) -> None:
    """Add the command's options."""
    plan_options(parser)
    study_option(parser)
    device_option(parser)
    fuse_option(parser)
    parser.add_argument("--out", type=str, default="runs", metavar="DIR", help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument(
        "--timeout", type=float, default=0.0, metavar="S", help="end a run after S seconds and count it as failed"
    )
    parser.add_argument(
        "--audits", type=str, default="", metavar="core|full|NAMES", help="audit the finished runs afterwards"
    )
    parser.add_argument(
        "--log",
        type=str,
        default="",
        metavar="tensorboard|wandb|trackio",
        help="send the curves of runs there while they train",
    )
    parser.add_argument("--cluster", type=str, default="", metavar="dask|slurm", help="engine that runs the jobs")
    parser.add_argument("--address", type=str, default="", metavar="URL", help="a Dask scheduler, tcp://HOST:PORT")
    parser.add_argument("--scheduler-file", type=str, default="", metavar="FILE", help="the file of a Dask scheduler")
    parser.add_argument(
        "--slurm",
        type=str,
        default="",
        metavar="OPTIONS",
        help='such as "partition=gpu,time=4:00:00,gpus=1"',
    )
    flag(parser, "dry", "only print what would be run")
    flag(parser, "yes", "start expensive runs without asking")
    flag(parser, "force", "run again what is finished")


def run(options: Any) -> int:
    """Execute the plan; 0 if everything is finished, 1 if a run failed, 130 after Ctrl-C."""
    from adu_bench.audits.catalogue import choose_audits, find_audits
    from adu_bench.workflows.listing import budget_lines
    from adu_bench.workflows.run import Where, prepare

    # Options are checked before anything is read.
    entries = choose_audits(options.audits, find_audits(options["from"])) if options.audits else []
    where = Where(**{field.name: options[field.name] for field in fields(Where)})
    made = prepare(
        selection_of(options), Path(options.out), where, force=options.force, log=options.log, fetch=not options.dry
    )
    plan, store, todo, expected = made.plan, made.store, made.todo, made.expected
    # The list comes first, since it is long and would push the rest off the screen.
    for planned in todo if options.dry else ():
        print(f"{planned.spec.key}  {planned.title}")
    print(
        f"{plan.suite.name}: {counted(len(plan.runs), 'run')} ({_factors(plan)}), "
        f"{len(plan.runs) - len(made.unfinished)} finished, {len(todo)} to do, in {store.root}/"
    )
    for line in budget_lines({run.label: run.changed for run in plan.runs}):
        print(f"budget: {line}")
    if expected.much or (options.dry and todo):
        print(expected)
    if options.dry:
        for line in _needs(expected, store, plan, options.jobs) if todo else ():
            print(line)
        return 0
    if expected.much and not options.yes and not _agreed(plan.suite.name):
        print("Nothing was started.")
        return 0
    try:
        failed, elsewhere = _execute(made) if todo else ([], 0)
    except KeyboardInterrupt:
        print("Interrupted; finished runs are kept. The same command continues.", file=sys.stderr)
        return 130
    _print_board(plan, store)
    for result in failed:
        print(f"Failed: {result.job.title}: {result.text}", file=sys.stderr)
        print(f"  Traceback: {store.failure_file(result.job.planned.spec.key)}", file=sys.stderr)
    if elsewhere:
        print(f"Another process executes {counted(elsewhere, 'run')}; run the command again for the board.")
    audited = _audit(made, entries, options) if entries else 0
    return audited or (1 if failed else 0)


def _needs(expected: Any, store: Any, plan: Any, workers: int) -> Iterator[str]:
    """Yield what the runs need of time and disk, and how a cluster executes them."""
    hours = expected.all_hours
    if hours is not None:
        yield f"Time: {hours:.2f} h in all, {hours / workers:.2f} h with {counted(workers, 'worker')} (--jobs)."
    sizes = [store.size(run.spec.key) for run in plan.runs if store.has(run.spec.key)]
    size = f"about {size_of(expected.runs * mean(sizes))}, by the finished runs" if sizes else ""
    yield f"Disk: {size or 'known when the first run has finished'}."
    longest = max(1, math.ceil(2 * (hours or 0) / expected.runs))
    yield (
        f"On a cluster: the same command without {'--dry and --jobs' if workers > 1 else '--dry'} and with "
        f'--cluster slurm --slurm "time={longest}:00:00,gpus=1", or with --cluster dask --scheduler-file FILE.'
    )


def _factors(plan: Any) -> str:
    """Say how many methods, values of the suite that a study changes, tasks and seeds a plan has."""
    counts = {
        "method": len({run.label for run in plan.runs}),
        "value": len({run.condition for run in plan.runs}),
        "task": len({run.spec.task.name for run in plan.runs}),
        "seed": len({run.spec.seed for run in plan.runs}),
    }
    return " x ".join(counted(count, name) for name, count in counts.items() if name != "value" or count > 1)


def _audit(made: Execution, entries: list[Any], options: Any) -> int:
    """Audit the finished runs of a plan; there are none where all runs failed, which was said."""
    from adu_bench.cli.audit import audit_and_print

    if not any(made.store.has(run.spec.key) for run in made.plan.runs):
        return 0
    return audit_and_print(made.plan, made.store, entries, made.executor, options)


def _agreed(suite: str) -> bool:
    """Ask whether to start expensive runs.

    Raises
    ------
    UserError
        If there is no terminal.
    """
    if not sys.stdin.isatty():
        raise UserError(
            f"Running '{suite}' is expensive, and nobody confirmed it.",
            "There is no terminal to ask on.",
            "Add --yes, or do less with --limit, --seeds or --methods.",
        )
    return input("Start? [y/N] ").strip().lower() in ("y", "yes")


def _execute(made: Execution) -> tuple[list[Any], int]:
    """Execute runs, print a line per run, and return the failed results and the number of runs elsewhere."""
    from adu_bench.cli.progress import display, result_line
    from adu_bench.runner.executors.interface import settled

    failed, elsewhere, total = [], [], len(made.todo)
    with display() as shown:
        if total > 1:
            shown("runs", 0, total)
        for count, result in enumerate(made.results(shown), start=1):
            shown.line(result_line(result, count, total))
            shown("runs", count, total)
            failed += [result] if result.state == "failed" else []
            elsewhere += [result] if result.state == "elsewhere" else []
    return failed, sum(settled(result).state == "elsewhere" for result in elsewhere)


def _print_board(plan: Any, store: Any) -> None:
    from adu_bench.leaderboard.board import make_board
    from adu_bench.leaderboard.curves import curves
    from adu_bench.report.terminal.boards import print_board, print_curves

    runs = store.runs([run.spec.key for run in plan.runs])
    if runs and plan.points:
        print_curves(curves(plan, runs), console())
    elif runs:
        print_board(make_board(plan, runs), console())
