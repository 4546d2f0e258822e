"""Which results a board is made of: committed rows, or runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adu_bench.cli.common import catalogue_of, plan_of
from adu_bench.core.errors import UserError

if TYPE_CHECKING:
    from adu_bench.leaderboard.board import Board


def board_options(parser: Any) -> None:
    """Add ``--runs`` and ``--rows``."""
    parser.add_argument("--runs", type=str, default="", metavar="DIR", help="make the board from these runs")
    parser.add_argument("--rows", type=str, default="", metavar="DIR", help="make the board from these committed rows")


def board_of(options: Any, only: Sequence[str] = ()) -> Board:
    """Read what is named, else the committed rows of the suite, else the runs in ``runs``.

    Parameters
    ----------
    options
        Those of `board_options` and `adu_bench.cli.common.plan_options`.
    only
        The methods that are needed, so that no others are scored; all if empty.

    Raises
    ------
    UserError
        If there is no such suite, or there are no results.
    """
    from adu_bench.leaderboard.committed import committed_board
    from adu_bench.leaderboard.rows import rows_dir

    rows = Path(options.rows) if options.rows else rows_dir()
    committed = any((rows / options.suite).glob("*.json"))
    if options.rows or (committed and not options.runs and not options.methods):
        return committed_board(rows, options.suite, catalogue_of(options), only)
    return _from_runs(options, Path(options.runs or "runs"), only)


def _from_runs(options: Any, folder: Path, only: Sequence[str]) -> Board:
    from adu_bench.leaderboard.board import make_board
    from adu_bench.store import Store
    from adu_bench.suites import load_suite

    load_suite(options.suite)
    if not folder.is_dir():
        raise UserError(
            f"There is no folder '{folder}' with runs, and no committed rows for '{options.suite}'.",
            "A board is made of results.",
            f"adu-bench run --suite {options.suite}",
        )
    runs = Store(folder).runs()
    if only:
        options.methods = ",".join(only)
    if not options.methods:
        known = catalogue_of(options).presets
        labels = dict.fromkeys(run.label for run in runs if run.label.partition("[")[0] in known)
        options.methods = ",".join(labels)
    return make_board(plan_of(options, folder), runs)
