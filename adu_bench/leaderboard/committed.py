"""The board of a suite from its committed rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adu_bench.core.errors import UserError, unknown
from adu_bench.leaderboard.board import Board, Row, make_board, without_numbers
from adu_bench.leaderboard.rows import StoredRun, VerificationStatus, read_rows, verification_statuses
from adu_bench.registry import Catalogue, Choice
from adu_bench.runner.plan import Plan, plan
from adu_bench.store import Store
from adu_bench.suites import Suite, load_suite


def committed_board(folder: Path, suite: str, catalogue: Catalogue, only: Sequence[str] = ()) -> Board:
    """Make the board of a suite from its committed rows; rows of methods that are not known here stand last.

    Parameters
    ----------
    folder, suite, catalogue
        Where the rows are, and what is known.
    only
        Take the rows of these methods; all if empty.

    Raises
    ------
    UserError
        If the suite has no rows, none whose method is known, or no row of a method that was asked for.
    """
    known = verification_statuses(folder, suite)
    for method in only if known else ():
        if method not in known:
            raise unknown(f"row of '{suite}'", method, known)
    known = {method: known[method] for method in only if known} or known
    choices, strange = _choices(catalogue, known)
    if not choices:
        raise UserError(
            f"There are no committed rows for '{suite}' in '{folder}'.",
            next(iter(strange.values()), "A board needs results").rstrip(".") + ".",
            f"Name a folder with runs: adu-bench leaderboard --suite {suite} --runs runs",
        )
    runs = read_rows(folder, suite)
    board = make_board(_plan(load_suite(suite), choices, runs, folder), runs)
    board = replace(board, rows=(*board.rows, *(without_numbers(label, why) for label, why in strange.items())))
    return _with_standings(board, known)


def _plan(suite: Suite, choices: Sequence[Choice], runs: Sequence[StoredRun], folder: Path) -> Plan:
    """Return which runs make up the board; where the suite's pictures or weights are not here, most rows say which."""
    # An empty store: the rows hold the runs.
    nowhere = Store(folder / "none")
    try:
        return plan(suite, choices, nowhere)
    except UserError:
        kinds = Counter((run.spec.task.data_hash, run.spec.backbone) for run in runs)
        usual = kinds.most_common(1)[0][0]
        like = next(run.spec for run in runs if (run.spec.task.data_hash, run.spec.backbone) == usual)
        return plan(suite, choices, nowhere, like=like)


def _choices(catalogue: Catalogue, labels: Iterable[str]) -> tuple[list[Choice], dict[str, str]]:
    """Return the choices that labels stand for, and for the other labels why they stand for none."""
    choices, strange = [], {}
    for label in labels:
        try:
            choices += catalogue.select([label])
        except UserError as error:
            strange[label] = f"{error.what.rstrip('.')} here"
    return choices, strange


def _with_standings(board: Board, known: Mapping[str, VerificationStatus]) -> Board:
    """Say of each row how far it was checked and what it claims."""
    rows = tuple(_with_standing(row, known[row.method]) if row.method in known else row for row in board.rows)
    part = _with_standings(board.part, known) if board.part is not None else None
    sizes = {size: _with_standings(each, known) for size, each in board.sizes.items()}
    return replace(board, rows=rows, part=part, sizes=sizes)


def _with_standing(row: Row, standing: VerificationStatus) -> Row:
    claimed = [standing.claimed.get(name) for name in ("mem", "for", "h_mean")]
    return replace(row, state=standing.state, claimed_mem=claimed[0], claimed_for=claimed[1], claimed_h=claimed[2])
