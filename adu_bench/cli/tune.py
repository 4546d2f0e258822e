"""Choose a method's hyper-parameters by random search on the validation pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adu_bench.cli.common import catalogue_of, flag, from_option, suite_option
from adu_bench.core.errors import UserError


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("methods", type=str, metavar="METHODS", help="names with commas, or a group")
    suite_option(parser)
    parser.add_argument(
        "--trials", type=int, default=8, metavar="N", help="trials a method; the first uses the defaults"
    )
    parser.add_argument("--out", type=str, default="tuning", metavar="DIR", help="folder of the finished trials")
    flag(parser, "audit", "also score every trial on test images, to see how far validation can be trusted")
    from_option(parser)


def run(options: Any) -> int:
    """Run the trials, and write the best fields where ``run --settings`` finds them."""
    if options.trials < 1:
        raise UserError(f"--trials {options.trials} is too few.", "At least one is needed.", "Give --trials 1 or more.")
    from adu_bench.suites import load_suite

    suite, chosen = load_suite(options.suite), catalogue_of(options).select([options.methods])
    import torch

    from adu_bench.cli.progress import steps
    from adu_bench.runner.tune import agreement, decode_tuned, tune, write_settings

    device = "cuda" if torch.cuda.is_available() else "cpu"
    out, best = Path(options.out), {}
    with steps() as step:
        decode_tuned(suite, chosen[0], step, audit=options.audit)
    for choice in chosen:
        found = tune(suite, choice, options.trials, out, device, _say, audit=options.audit)
        best[choice.preset.name] = {**choice.overrides, **found[0]["fields"]}
        print(f"best for {choice.label}: H {100 * found[0]['h']:.1f} on validation with {best[choice.preset.name]}")
    settings = out / suite.name / "settings.yaml"
    write_settings(settings, best)
    print(f"wrote {settings}; use it: adu-bench run --suite {options.suite} --settings {settings}")
    if options.audit:
        _print_agreement(agreement(out / suite.name))
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _print_agreement(trials: Any) -> None:
    ranks = trials[["validation", "test"]].corr(method="spearman").iloc[0, 1]
    values = trials[["validation", "test"]].corr().iloc[0, 1]
    print(
        f"H on validation against test, {len(trials)} trials of {trials['method'].nunique()} methods: "
        f"Spearman {ranks:.2f}, Pearson {values:.2f}"
    )
