"""Bring predictions that were made outside adu-bench onto a board, as a claimed row.

Each file has one row per test image: the columns image, task, seed, and either predicted or one column per class.
"""

from __future__ import annotations

from typing import Any

from adu_bench.cli.common import suite_option
from adu_bench.core.commands import command


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument(
        "files", type=str, nargs="+", metavar="FILE", help="CSV or Parquet, such as all.csv or TASK.1.csv"
    )
    suite_option(parser)
    parser.add_argument("--method", type=str, required=True, metavar="NAME", help="name on the board")
    parser.add_argument("--card", type=str, required=True, metavar="FILE", help="YAML with title, authors and year")
    parser.add_argument("--out", type=str, default="leaderboards", metavar="DIR", help="folder of committed rows")


def run(options: Any) -> int:
    """Write the row and say what it claims."""
    from adu_bench.workflows.bring import bring

    submission, path = bring(options.files, options.suite, method=options.method, card=options.card, out=options.out)
    claimed, images = submission.claimed, len(submission.runs[0].predictions())
    print(f"{options.method} on {submission.suite.name}: {len(submission.runs)} x {images} predictions, complete.")
    print(
        f"Claimed: Mem {100 * claimed['mem']:.2f}, For {100 * claimed['for']:.2f}, mean of H "
        f"{100 * claimed['h_mean']:.2f}, H of means {100 * claimed['h_of_means']:.2f}."
    )
    print(f"Wrote {path}. The board: {command('leaderboard', suite=options.suite, rows=options.out)}")
    return 0
