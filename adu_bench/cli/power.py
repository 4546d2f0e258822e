"""Say which difference of two methods can be detected, and how many more domains or seeds it would take."""

from __future__ import annotations

import json
from typing import Any

from adu_bench.cli.common import flag
from adu_bench.cli.compare import pair_board, pair_options
from adu_bench.core.errors import UserError


def options(parser: Any) -> None:
    """Add the command's options."""
    pair_options(parser)
    parser.add_argument(
        "--difference", type=float, default=2.0, metavar="D", help="the difference of H to find, in percentage points"
    )
    flag(parser, "json", "print JSON; differences are fractions")


def run(options: Any) -> int:
    """Print what can be detected."""
    from adu_bench.report.terminal.comparison import WIDTH, power_record, print_power
    from adu_bench.stats.power import power_of
    from adu_bench.stats.scores import scores

    if not 0 < options.difference < 100:
        raise UserError(
            f"--difference {options.difference:g} is no difference to find.",
            "H is between 0 and 100 per cent.",
            "Give percentage points, for example 2.",
        )
    board = pair_board(options)
    pair = scores(board.frame, board.forget, "h", (options.a, options.b))
    found = power_of(pair, options.difference / 100, options.forget or None)
    if options.json:
        print(json.dumps(power_record(found), indent=1))
    else:
        from rich.console import Console

        print_power(board.suite, options.a, options.b, found, options.difference / 100, Console(width=WIDTH))
    return 0
