"""Choose a method's hyper-parameters by random search on the validation pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adu_bench.cli.common import catalogue_of, from_option, suite_option
from adu_bench.core.errors import UserError


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("methods", type=str, metavar="METHODS", help="names with commas, or a group")
    suite_option(parser)
    parser.add_argument(
        "--trials", type=int, default=8, metavar="N", help="trials a method; the first uses the defaults"
    )
    parser.add_argument("--out", type=str, default="tuning", metavar="DIR", help="folder of the finished trials")
    from_option(parser)


def run(options: Any) -> int:
    """Run the trials and print the best fields as an entry of the suite's settings."""
    if options.trials < 1:
        raise UserError(f"--trials {options.trials} is too few.", "At least one is needed.", "Give --trials 1 or more.")
    from adu_bench.suites import load_suite

    suite, chosen = load_suite(options.suite), catalogue_of(options).select([options.methods])
    import torch

    from adu_bench.runner.tune import tune

    device = "cuda" if torch.cuda.is_available() else "cpu"
    best = {}
    for choice in chosen:
        found = tune(suite, choice, options.trials, Path(options.out), device, lambda line: print(line, flush=True))
        best[choice.label] = found[0]
    print("settings:")
    for label, record in best.items():
        fields = ", ".join(f"{name}: {value}" for name, value in record["fields"].items())
        print(f"  {label}: {{{fields}}}  # H {100 * record['h']:.1f} on validation")
    return 0
