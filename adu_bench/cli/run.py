"""Run methods on a suite, and print the leaderboard.

Finished runs are skipped, so the same command continues where an earlier one stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from adu_bench.cli.common import flag, plan_of, plan_options
from adu_bench.core.errors import UserError


def options(parser: Any) -> None:
    """Add the command's options."""
    plan_options(parser)
    parser.add_argument("--device", type=str, default="auto", metavar="auto|cpu|cuda", help="where to compute")
    parser.add_argument("--out", type=str, default="runs", metavar="DIR", help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument(
        "--timeout", type=float, default=0.0, metavar="S", help="end a run after S seconds; it then failed"
    )
    flag(parser, "dry", "only print what would be run")
    flag(parser, "yes", "start without asking, whatever it costs")
    flag(parser, "force", "run again what is finished")


def run(options: Any) -> int:
    """Execute the plan; 0 if everything is finished, 1 if a run failed, 130 after Ctrl-C."""
    _check(options)
    from adu_bench.runner.cost import cost

    out = Path(options.out)
    plan = plan_of(options, out, force=options.force)
    methods = len({run.label for run in plan.runs})
    tasks = len({run.spec.task for run in plan.runs})
    print(
        f"{plan.suite.name}: {len(plan.runs)} runs ({methods} methods x {tasks} tasks x "
        f"{len({run.spec.seed for run in plan.runs})} seeds), {len(plan.runs) - len(plan.todo)} finished, "
        f"{len(plan.todo)} to do, in {out}/"
    )
    expected = cost(plan.todo)
    if expected.much:
        print(expected)
    if options.dry:
        for planned in plan.todo:
            print(f"{planned.spec.key}  {planned.title}")
        return 0
    if expected.much and not options.yes and not _agreed(plan.suite.name):
        print("Nothing was started.")
        return 0
    outcome = None
    if plan.todo:
        outcome = _execute(plan, out, options)
        if outcome.interrupted:
            print("Interrupted; finished runs are kept. The same command continues.", file=sys.stderr)
            return 130
    _print_board(plan, out)
    for planned, reason in outcome.failed if outcome else []:
        print(f"Failed: {planned.title}: {reason}", file=sys.stderr)
    if outcome and outcome.elsewhere:
        print(f"{len(outcome.elsewhere)} runs are executed by another process; run the command again for the board.")
    return 1 if outcome and outcome.failed else 0


def _agreed(suite: str) -> bool:
    """Ask whether to start what costs much.

    Raises
    ------
    UserError
        If there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise UserError(
            f"Running '{suite}' costs much, and nobody confirmed it.",
            "There is no terminal to ask on.",
            "Add --yes, or do less with --limit, --seeds or --methods.",
        )
    return input("Start? [y/N] ").strip().lower() in ("y", "yes")


def _check(options: Any) -> None:
    if options.device not in ("auto", "cpu", "cuda"):
        raise UserError(
            f"There is no device '{options.device}'.", "A device is auto, cpu or cuda.", "Leave --device out."
        )
    if options.device == "cuda":
        import torch  # only a user who asks for a GPU pays for this

        if not torch.cuda.is_available():
            raise UserError(
                "There is no CUDA device here.",
                f"torch {torch.__version__} sees none; a driver or a CUDA build of torch may be missing.",
                "Leave --device out to use what there is.",
            )
    if options.jobs < 1:
        raise UserError(
            f"--jobs {options.jobs} is too few.", "At least one worker is needed.", "Give --jobs 1 or more."
        )
    if options.timeout < 0:
        raise UserError(
            f"--timeout {options.timeout} is below zero.", "It counts seconds.", "Leave it out for no limit."
        )


def _execute(plan: Any, out: Path, options: Any) -> Any:
    from adu_bench.cli.progress import steps, watch
    from adu_bench.runner.decoding import decode_needed
    from adu_bench.runner.executors import run_all
    from adu_bench.store import Store

    store = Store(out)
    store.require_writable()
    with steps() as step:
        decode_needed(plan.todo, step)
    with watch(len(plan.todo)) as listener:
        return run_all(
            plan.todo,
            store,
            device=options.device,
            jobs=options.jobs,
            timeout=options.timeout or None,
            listener=listener,
            force=options.force,
        )


def _print_board(plan: Any, out: Path) -> None:
    from rich.console import Console

    from adu_bench.leaderboard.board import make_board
    from adu_bench.leaderboard.curves import curves
    from adu_bench.report.terminal.boards import print_board, print_curves
    from adu_bench.store import Store

    runs = Store(out).runs([run.spec.key for run in plan.runs])
    if runs and plan.points:
        print_curves(curves(plan, runs), Console())
    elif runs:
        print_board(make_board(plan, runs), Console())
