"""Make a bundle of a method's finished runs on a suite, which others can verify and add to the board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adu_bench.cli.common import from_option, selection_of, suite_option
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError
from adu_bench.core.words import counted, size_of


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("method", type=str, metavar="METHOD", help='name, such as blur or "blur[lr=0.01]"')
    suite_option(parser)
    parser.add_argument("--runs", type=str, default="runs", metavar="DIR", help="folder of the runs")
    from_option(parser)
    parser.add_argument("--out", type=str, default="", metavar="FILE", help="the bundle (default: METHOD-SUITE.zip)")


def run(options: Any) -> int:
    """Collect, check and write the bundle."""
    from adu_bench.store import Store
    from adu_bench.submission.submission import from_runs, write_bundle
    from adu_bench.submission.verify import check
    from adu_bench.suites import load_suite
    from adu_bench.workflows.selection import find_weights

    choices = selection_of(options).catalogue.select([options.method])
    if len(choices) != 1:
        raise UserError(
            f"'{options.method}' matches {len(choices)} methods.", "A submission has one.", "Name one method."
        )
    suite = load_suite(options.suite)
    path = Path(options.out or f"{choices[0].preset.name}-{suite.name}.zip")
    if path.suffix != ".zip":
        raise UserError(f"'{path}' is not a zip file.", "A bundle's name ends in .zip.", "Change --out.")
    store = Store(Path(options.runs))
    # The runs say which weights they used; whoever verifies the bundle compares them with the suite's.
    weights = find_weights(suite.backbone, suite, store, fetch=False)
    submission = from_runs(suite, choices[0], store, options.runs, weights)
    check(submission)
    write_bundle(submission, path)
    claimed = submission.claimed
    print(f"{choices[0].label} on {suite.name}: {counted(len(submission.runs), 'run')}, complete and consistent.")
    print(
        f"Claimed: Mem {100 * claimed['mem']:.2f}, For {100 * claimed['for']:.2f}, mean of H "
        f"{100 * claimed['h_mean']:.2f}, H of means {100 * claimed['h_of_means']:.2f}."
    )
    own_suite = options.suite if options.suite != suite.name else ""
    # The bundle has the method's code.
    check_it = command("verify", str(path), suite=own_suite, **{"from": ""})
    print(f"Wrote {path} ({size_of(path.stat().st_size)}). Anyone can check it: {check_it}")
    return 0
