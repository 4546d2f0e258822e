"""Choose a method's hyper-parameters by random search on the validation pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adu_bench.cli.common import flag, from_option, selection_of, suite_option


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("methods", type=str, metavar="METHODS", help="names with commas, or a group")
    suite_option(parser)
    parser.add_argument(
        "--trials", type=int, default=8, metavar="N", help="trials per method; the first uses the defaults"
    )
    parser.add_argument("--out", type=str, default="tuning", metavar="DIR", help="folder of the finished trials")
    flag(parser, "score-test", "also score every trial on test images, to see how well validation predicts them")
    from_option(parser)


def run(options: Any) -> int:
    """Run the trials, and write the best fields where ``run --settings`` finds them."""
    from adu_bench.cli.progress import display, result_line
    from adu_bench.suites import load_suite
    from adu_bench.workflows.tune import tune_methods, validation_agreement

    suite, choices = load_suite(options.suite), selection_of(options).catalogue.select([options.methods])
    out, scored = Path(options.out), options.score_test
    with display() as shown:
        best, settings = tune_methods(
            suite,
            choices,
            options.trials,
            out,
            progress=shown,
            on_result=lambda *result: shown.line(result_line(*result)),
            score_test=scored,
        )
    for label, found in best.items():
        print(f"best for {label}: H {100 * found['h']:.1f} on validation with {found['fields']}")
    print(f"wrote {settings}; use it: adu-bench run --suite {options.suite} --settings {settings}")
    if scored:
        found = validation_agreement(out, suite)
        print(
            f"H on validation against test, {found['trials']} trials of {found['methods']} methods: "
            f"Spearman {found['spearman']:.2f}, Pearson {found['pearson']:.2f}"
        )
    return 0
