"""Check a bundle or a committed row: compute every number again, and with --rerun run a part of it again.

Without --rerun no code of a bundle is run.  With it, the method's file is run in processes of its own; docs/trust.md
says what that leaves open.  Read the file first, and use a machine that holds nothing of value.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

from adu_bench.cli.common import device_option, from_option, require_seed
from adu_bench.cli.terminal import console
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError
from adu_bench.core.words import counted

TOLERANCE = 0.02
"""Mem and For of a run that was run again may differ by this much.  This alone shows little: a quarter of the runs of
`adu` with another seed came within it."""
SAME_ANSWERS = 0.97
"""And at least this share of its answers must be the same.  On emoji, methods that train by gradients gave the same
answers with other threads, instructions or another torch, and at most 96.2 % of them with another seed."""
_DRAWS = 2**31
_LIMIT = 24 * 3600.0
"""Seconds for one run, so that a method that never ends is a failure."""


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("paths", type=str, nargs="+", metavar="FILE", help="bundles (.zip) or committed rows (.json)")
    parser.add_argument(
        "--suite", type=str, default="", metavar="FILE", help="YAML file of a suite that is not shipped"
    )
    parser.add_argument(
        "--rerun", type=int, default=0, metavar="N", help="run N of the runs again, which runs the method's code"
    )
    parser.add_argument("--seed", type=int, default=-1, metavar="X", help="draws these runs (default: drawn, printed)")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="T",
        help="most that Mem and For may differ when run again",
    )
    parser.add_argument("--same", type=float, default=SAME_ANSWERS, metavar="S", help="and least share of same answers")
    parser.add_argument("--timeout", type=float, default=_LIMIT, metavar="S", help="end a rerun after S seconds")
    device_option(parser)
    parser.add_argument("--write", type=str, default="", metavar="DIR", help="write the verified row there")
    from_option(parser)


def run(options: Any) -> int:
    """Verify each file; 1 if a run that was run again came out otherwise."""
    if options.rerun < 0 or not 0 <= options.tolerance <= 1 or not 0 <= options.same <= 1 or not options.timeout > 0:
        raise UserError(
            "--rerun, --tolerance, --same or --timeout is out of range.",
            "The first counts runs, the next two are shares, and the last is a time in seconds.",
            f"For example --rerun 2 --tolerance {TOLERANCE} --same {SAME_ANSWERS}.",
        )
    from adu_bench.workflows.run import require_device

    require_seed(max(options.seed, 0))
    require_device(options.device)
    with tempfile.TemporaryDirectory(prefix="adu-bench-verify-") as folder:
        results = [_one(Path(path), Path(folder, str(number)), options) for number, path in enumerate(options.paths)]
    return 0 if all(results) else 1


def _one(path: Path, folder: Path, options: Any) -> bool:
    from adu_bench.submission.verify import check
    from adu_bench.workflows.selection import open_catalogue
    from adu_bench.workflows.verify import is_committed, read_submission, write_verified

    submission = read_submission(path, folder, open_catalogue(options["from"]), options.suite)
    _print_claims(submission)
    check(submission)
    images = len(submission.runs[0].predictions())
    print(
        f"Verified: keys, split, labels and weights are the suite's, {len(submission.runs)} x {images} predictions are "
        "possible, and every number follows from them."
    )
    again, seed = [], 0
    if options.rerun:
        seed = options.seed if options.seed >= 0 else secrets.randbelow(_DRAWS)
        again = _rerun(submission, folder, seed, options)
        bounds = f"Mem and For within {options.tolerance:g}, and {100 * options.same:g} % of the answers the same"
        far = [one for one in again if not one.near(options.tolerance, options.same)]
        if far:
            print(f"Not reproduced: {far[0].run.title} lacks {bounds}.", file=sys.stderr)
            return False
        own = sorted({part for one in again for part in one.own_parts})
        state = f"Reproduced{', with parts of its own' * bool(own)}"
        print(f"{state}: {len(again)} of {len(submission.runs)} runs, each with {bounds}.")
        if own:
            print(f"The method's code also predicted, since it defines {', '.join(own)}: read it.")
        print(f"Isolation: {again[0].isolation} (docs/trust.md says what it leaves open).")
    elif submission.has_code:
        print("Whether the predictions came from the method is shown by running some of it again: --rerun N.")
    else:
        print("Only predictions are known, and nobody can run the method again: the row stays 're-scored'.")
    if options.write:
        written = write_verified(
            submission, path, Path(options.write), again, seed, options.tolerance, suite=options.suite
        )
        print(f"wrote {written}")
        if not is_committed(path):
            _print_next(path, submission, options.write)
    return True


def _print_claims(submission: Any) -> None:
    from rich import box
    from rich.table import Table

    titles = {"mem": "Mem", "for": "For", "h_mean": "mean of H", "h_of_means": "H of means"}
    table = Table(
        title=f"{submission.choice.label} on {submission.suite.name}, {counted(len(submission.runs), 'run')}, per cent",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    table.add_column("")
    for title in ("claimed", "scored", "difference"):
        table.add_column(title, justify="right")
    scored = submission.scored()
    for name, title in titles.items():
        value = 100 * scored[name]
        claimed = submission.claimed.get(name)
        cells = ["-", f"{value:.2f}", "-"]
        if claimed is not None:
            cells = [f"{100 * claimed:.2f}", f"{value:.2f}", f"{abs(value - 100 * claimed):.2f}"]
        table.add_row(title, *cells)
    console().print(table)


def _rerun(submission: Any, folder: Path, seed: int, options: Any) -> list[Any]:
    """Run some of the runs again, apart from the submission, and print how near they come."""
    from adu_bench.cli.progress import display, result_line
    from adu_bench.runner.executors.local import LocalProcesses
    from adu_bench.submission.verify import drawn
    from adu_bench.workflows.verify import rerun

    runs = drawn(submission, options.rerun, seed)
    print(f"Running {submission.choice.entry.path} now: {counted(len(runs), 'run')} drawn by seed {seed}.", flush=True)
    with display() as shown:
        again = rerun(
            submission,
            runs,
            folder,
            LocalProcesses(options.device, timeout=options.timeout),
            shown,
            lambda *result: shown.line(result_line(*result)),
        )
    for one in again:
        numbers = ", ".join(
            f"{title} {100 * one.submitted[name]:.2f} -> {100 * one.fresh[name]:.2f}"
            for title, name in (("Mem", "mem"), ("For", "for"), ("H", "h"))
        )
        print(f"{one.run.title}: {numbers}; {100 * one.same_answers:.1f} % of the answers are the same")
    return again


def _print_next(path: Path, submission: Any, folder: str) -> None:
    """Say where the method's file belongs, since a row counts only where its method is known."""
    from adu_bench.registry import Catalogue
    from adu_bench.submission.bundle import METHOD

    name = submission.choice.entry.name
    if submission.choice.preset.name not in Catalogue().presets:
        print(
            f"The row counts where its method is known: unzip -p {path} {METHOD} > methods/{name.replace('-', '_')}.py"
        )
    print(f"Then: {command('leaderboard', write=folder)}")
