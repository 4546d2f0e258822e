"""Compare two methods: by how much they differ, and how sure that is."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from adu_bench.cli.boards import board_of, board_options
from adu_bench.cli.common import flag, plan_options
from adu_bench.core.errors import UserError

if TYPE_CHECKING:
    from adu_bench.leaderboard.board import Board


def options(parser: Any) -> None:
    """Add the command's options."""
    pair_options(parser)
    flag(parser, "json", "print JSON; differences are fractions")


def pair_options(parser: Any) -> None:
    """Add two methods, and the options that choose results and tasks."""
    parser.add_argument("a", type=str, metavar="A", help="a method, as the board names it")
    parser.add_argument("b", type=str, metavar="B", help="what to compare it with")
    plan_options(parser)
    board_options(parser)
    parser.add_argument("--forget", type=int, default=0, metavar="K", help="only tasks that forget so many domains")


def run(options: Any) -> int:
    """Print the comparison."""
    if "," in options.suite:
        return _across_suites(options)
    from adu_bench.report.terminal.comparison import WIDTH, comparison_record, print_comparison
    from adu_bench.stats.paired import compare

    board = pair_board(options)
    labels = board.frame.groupby("key")["method"].first().to_dict()
    runs = [run for run in board.runs if run.key in labels]
    found = compare(board.frame, runs, labels, options.a, options.b, size=options.forget or None)
    if options.json:
        print(json.dumps(comparison_record(found), indent=1))
    else:
        from rich.console import Console

        print_comparison(found, Console(width=WIDTH))
    return 0


def _across_suites(options: Any) -> int:
    """Print the difference on each of several suites, and what they say together where they are enough."""
    from copy import copy

    from adu_bench.report.terminal.comparison import WIDTH, across_record, print_across
    from adu_bench.stats.across import compare_across
    from adu_bench.stats.scores import scores

    pairs, datasets = {}, {}
    for suite in dict.fromkeys(filter(None, map(str.strip, options.suite.split(",")))):
        own = copy(options)
        own.suite = suite
        board = pair_board(own)
        block = scores(board.frame, board.forget, "h", (options.a, options.b))
        pairs[suite] = (block, options.forget or None)
        datasets[suite] = board.common.task.dataset
    found = compare_across(pairs, datasets)
    if options.json:
        print(json.dumps(across_record(found), indent=1))
    else:
        from rich.console import Console

        print_across(options.a, options.b, found, Console(width=WIDTH))
    return 0


def pair_board(options: Any) -> Board:
    """Return the board that has both methods.

    Raises
    ------
    UserError
        If they are one, or one of them has no finished run.
    """
    if options.a == options.b:
        raise UserError(
            f"'{options.a}' cannot be compared with itself.", "There is nothing to tell.", "Name two methods."
        )
    if options.forget < 0:
        raise UserError(f"--forget {options.forget} is below zero.", "It counts domains.", "Give 1 or more.")
    board = board_of(options, (options.a, options.b))
    if board.warning:
        print(board.warning, file=sys.stderr)
    shown = board.part if board.part is not None and {options.a, options.b} - set(board.frame["method"]) else board
    for method in (options.a, options.b):
        if method not in set(shown.frame["method"]):
            row = next((row for row in shown.rows if row.method == method), None)
            raise UserError(
                f"'{method}' has no finished run of '{board.suite}' that counts.",
                f"{row.reason[0].upper()}{row.reason[1:]}." if row and row.reason else "It has no results here.",
                f"adu-bench run --suite {options.suite} --methods {method}",
            )
    return shown
