"""Compare two methods: the difference, and how certain it is."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adu_bench.cli.common import flag, plan_options, results_of, results_options, selection_of
from adu_bench.cli.terminal import console
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
    results_options(parser)
    parser.add_argument("--forget", type=int, default=0, metavar="K", help="only tasks that forget this many domains")


def run(options: Any) -> int:
    """Print the comparison on one suite, or on each of several and over all of them."""
    from adu_bench.report.terminal.comparison import (
        WIDTH,
        across_record,
        comparison_record,
        print_across,
        print_comparison,
    )
    from adu_bench.workflows.compare import compare_methods, compare_over_suites

    pair, screen = (options.a, options.b), console(width=WIDTH)
    if "," in options.suite:
        suites = dict.fromkeys(filter(None, map(str.strip, options.suite.split(","))))
        if not suites:
            raise UserError(
                f"--suite {options.suite} names no suite.", "A comparison needs one or more.", "Give --suite emoji."
            )
        across = compare_over_suites([board_of_pair(options, suite) for suite in suites], *pair, options.forget)
        if options.json:
            print(json.dumps(across_record(across), indent=1))
        else:
            print_across(*pair, across, screen)
        return 0
    found = compare_methods(board_of_pair(options, options.suite), *pair, options.forget)
    if options.json:
        print(json.dumps(comparison_record(found), indent=1))
    else:
        print_comparison(found, screen)
    return 0


def board_of_pair(options: Any, suite: str) -> Board:
    """Return the board of a suite that has both methods, and print its warning."""
    from adu_bench.workflows.compare import pair_board

    board = pair_board(replace(selection_of(options), suite=suite), options.a, options.b, results_of(options))
    if board.warning:
        print(board.warning, file=sys.stderr)
    return board
