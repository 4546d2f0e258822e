"""Say which difference of two methods can be detected, and how many more domains or seeds it would take."""

from __future__ import annotations

import json
from typing import Any

from adu_bench.cli.common import flag
from adu_bench.cli.compare import board_of_pair, pair_options
from adu_bench.cli.terminal import console
from adu_bench.core.errors import UserError


def options(parser: Any) -> None:
    """Add the command's options."""
    pair_options(parser)
    parser.add_argument(
        "--difference", type=float, default=2.0, metavar="D", help="the difference of H to detect, in percentage points"
    )
    flag(parser, "json", "print JSON; differences are fractions")


def run(options: Any) -> int:
    """Print what can be detected."""
    if not 0 < options.difference < 100:
        raise UserError(
            f"--difference {options.difference:g} cannot be detected.",
            "H is between 0 and 100 per cent.",
            "Give percentage points, for example 2.",
        )
    from adu_bench.report.terminal.comparison import WIDTH, power_record, print_power
    from adu_bench.workflows.compare import power

    wanted = options.difference / 100
    board = board_of_pair(options, options.suite)
    found = power(board, options.a, options.b, wanted, options.forget)
    if options.json:
        print(json.dumps(power_record(found), indent=1))
    else:
        print_power(board.suite, options.a, options.b, found, wanted, console(width=WIDTH))
    return 0
