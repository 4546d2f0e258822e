"""Options that several commands share, and their values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from adu_bench.core.devices import DEVICES
from adu_bench.core.errors import UserError
from adu_bench.core.groups import GROUPS

if TYPE_CHECKING:
    from adu_bench.workflows.board import Results
    from adu_bench.workflows.selection import Selection

DEFAULT_SUITE = "emoji-mini"
MOST_DOMAINS = 1000
"""Bound of the sizes of forget sets."""


def suite_option(parser: Any) -> None:
    """Add ``--suite``."""
    parser.add_argument(
        "--suite", type=str, default=DEFAULT_SUITE, metavar="NAME", help="suite, or path of a YAML file"
    )


def fuse_option(parser: Any) -> None:
    """Add --fuse."""
    parser.add_argument(
        "--fuse",
        type=whole_number_or_auto,
        default=1,
        metavar="N|auto",
        help="train up to N runs of a method in one pass of the backbone; auto: as many as a GPU takes, 1 on a CPU",
    )


def whole_number_or_auto(value: str | float) -> int | str:
    """Read a text of the command line, or a value of a file of options; messages of the parser have this name."""
    if value == "auto":
        return "auto"
    if re.fullmatch(r"-?\d{1,9}", str(value), re.ASCII) is None:
        raise ValueError(f"'{value}' is neither a whole number nor auto")
    return int(value)


def device_option(parser: Any) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", type=str, default="auto", metavar=DEVICES, help="where to compute")


def from_option(parser: Any) -> None:
    """Add ``--from``."""
    parser.add_argument(
        "--from", type=str, default="", metavar="DIR", help="folder or file with further methods and audits"
    )


def plan_options(parser: Any) -> None:
    """Add the options that decide which runs make up a plan."""
    suite_option(parser)
    parser.add_argument(
        "--methods",
        type=str,
        default="",
        metavar="NAMES",
        help=f'all, groups ({", ".join(GROUPS)}) or names such as "adu[gamma=10],baseline" '
        "(default: what the suite says)",
    )
    parser.add_argument(
        "--seeds", type=str, default="", metavar="N|LIST", help="number of seeds, or a list such as 1,5"
    )
    parser.add_argument(
        "--backbone",
        type=str,
        default="",
        metavar="NAME",
        help="emoji-clip, MODEL:TAG, MODEL:TAG=FILE, MODEL:FILE or a folder",
    )
    parser.add_argument(
        "--sizes", type=str, default="", metavar="N|N-M|LIST", help="all forget sets of this many domains, e.g. 1-5"
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N tasks")
    parser.add_argument(
        "--settings", type=str, default="", metavar="FILE", help="fields by preset that tune wrote, over the suite's"
    )
    from_option(parser)


def study_option(parser: Any) -> None:
    """Add ``--study``, for commands about runs; a board does not have the runs of a study."""
    parser.add_argument(
        "--study",
        type=str,
        default="",
        metavar="NAME",
        help="a study that the suite declares; --methods replaces its methods",
    )


def results_options(parser: Any) -> None:
    """Add ``--runs`` and ``--rows``."""
    parser.add_argument("--runs", type=str, default="", metavar="DIR", help="make the board from these runs")
    parser.add_argument("--rows", type=str, default="", metavar="DIR", help="make the board from these committed rows")


def results_of(options: Any) -> Results:
    """Return where the options of `results_options` say that results are."""
    from adu_bench.workflows.board import Results

    return Results(options.runs, options.rows)


def flag(parser: Any, name: str, help: str) -> None:
    """Add a switch without a value."""
    parser.add_argument(f"--{name}", action="store_true", help=help)


def selection_of(options: Any) -> Selection:
    """Return the selection that the options describe; those that a command lacks keep their defaults."""
    from adu_bench.workflows.selection import Selection

    given = vars(options)
    texts = {
        name: given[name] for name in ("suite", "methods", "backbone", "limit", "settings", "study") if name in given
    }
    return Selection(
        **texts,
        seeds=seeds_of(given.get("seeds", "")),
        sizes=sizes_of(given.get("sizes", "")),
        extra=tuple(filter(None, [given.get("from")])),
    )


def sizes_of(text: str) -> tuple[int, ...]:
    """Read ``--sizes``: a number, a range such as 1-3, a list with commas, or nothing.

    Raises
    ------
    UserError
        If it is none of these.
    """
    sizes: list[int] = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        try:
            low, high = int(first), int(last or first)
            # The suite decides which sizes there are; without a bound, a list of them could fill the memory.
            if max(abs(low), abs(high)) > MOST_DOMAINS:
                raise ValueError(part)
            sizes += range(low, high + 1)
        except ValueError:
            sizes = []
            break
    if text and not sizes:
        raise UserError(
            f"'{text}' is not a valid choice of sizes.",
            "A size is the number of domains that a task forgets.",
            "For example --sizes 1, --sizes 1-5 or --sizes 1,3.",
        )
    return tuple(sizes)


def require_seed(seed: int) -> None:
    """Check ``--seed``.

    Raises
    ------
    UserError
        If it is not a seed.
    """
    from adu_bench.suites.suite import LARGEST_SEED, are_seeds

    if not are_seeds([seed]):
        raise UserError(
            f"--seed {str(seed)[:40]} is not a seed.",
            f"Seeds are whole numbers from 0 to {LARGEST_SEED:,}.",
            "For example --seed 1.",
        )


def seeds_of(text: str) -> tuple[int, ...]:
    """Read ``--seeds``: a count of seeds (1 to N), a list with commas, or nothing.

    Raises
    ------
    UserError
        If it is none of these.
    """
    from adu_bench.workflows.selection import seeds_from

    if not text:
        return ()
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    given = numbers if "," in text or len(numbers) != 1 else numbers[0]
    return seeds_from(given or -1, text)
