"""Choose methods' hyper-parameters on the validation pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from adu_bench.cli.common import device_option, flag, from_option, fuse_option, selection_of, suite_option
from adu_bench.core.commands import command

if TYPE_CHECKING:
    from adu_bench.runner.tune import Chosen


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("methods", type=str, metavar="METHODS", help="names with commas, or a group")
    suite_option(parser)
    parser.add_argument(
        "--trials", type=int, default=12, metavar="N", help="trials per method; the first has the defaults"
    )
    parser.add_argument("--out", type=str, default="tuning", metavar="DIR", help="folder of the finished trials")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worker processes")
    device_option(parser)
    fuse_option(parser)
    flag(parser, "score-test", "also score every run on test images, to see how well validation predicts them")
    from_option(parser)


def run(options: Any) -> int:
    """Search, and write the chosen fields where ``run --settings`` finds them."""
    from adu_bench.cli.progress import display, result_line
    from adu_bench.suites import load_suite
    from adu_bench.workflows.run import local_executor
    from adu_bench.workflows.tune import tune_methods, write_tuning_page

    executor = local_executor(options.device, options.jobs, options.fuse)
    suite, catalogue = load_suite(options.suite), selection_of(options).catalogue
    choices = catalogue.select([options.methods])
    with display() as shown:
        settings = tune_methods(
            suite,
            choices,
            options.trials,
            Path(options.out),
            executor,
            progress=shown,
            on_result=lambda *result: shown.line(result_line(*result)),
            on_chosen=lambda label, chosen: shown.line(outcome(label, chosen)),
            score_test=options.score_test,
        )
    print(f"wrote {write_tuning_page(suite, catalogue, options.trials, Path(options.out))}")
    print(f"wrote {settings}; use it: {command('run', suite=options.suite, settings=settings)}")
    return 0


def outcome(label: str, chosen: Chosen) -> str:
    """Return a search's outcome in a sentence; H and its differences in percentage points on validation images."""
    from adu_bench.registry import format_value

    fields = ", ".join(f"{name} {format_value(value)}" for name, value in chosen.fields.items())
    if chosen.gain is None or chosen.error is None:
        return f"{label}: no trial was better than the defaults ({fields}), H {100 * chosen.h:.1f}"
    gain = f"{100 * chosen.gain:+.1f} points over the defaults (standard error {100 * chosen.error:.1f})"
    if chosen.trial:
        return f"{label}: {fields}, H {100 * chosen.h:.1f}; {gain}"
    return f"{label}: the defaults stay ({fields}), H {100 * chosen.h:.1f}; the best trial gains {gain}"
