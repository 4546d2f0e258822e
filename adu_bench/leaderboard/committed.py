"""The board of a suite from its committed rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adu_bench.audits.catalogue import find_audits
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError, unknown
from adu_bench.core.groups import GROUPS
from adu_bench.leaderboard.board import Board, make_board, with_forgetting, without_numbers
from adu_bench.leaderboard.measurements import read_measurements, read_oracle, stale_measurements
from adu_bench.leaderboard.outside import recorded_outside
from adu_bench.leaderboard.rows import StoredRun, VerificationStatus, read_suite
from adu_bench.leaderboard.stale import NOTE, as_recorded, stale_rows
from adu_bench.registry import Catalogue, Choice
from adu_bench.runner.plan import Plan, plan
from adu_bench.suites import Suite, load_suite, suite_name

SUITE_FILE = "suite.yaml"


def committed_board(folder: Path, suite: str, catalogue: Catalogue, only: Sequence[str] = ()) -> Board:
    """Make the board of a suite from its committed rows; rows of methods that are not known here come last.

    Parameters
    ----------
    folder, suite, catalogue
        The folder of the rows, the suite's name or the path of its file, and the known methods.
    only
        The methods whose rows are wanted; all if empty.

    Raises
    ------
    UserError
        If the suite has no row of a known method, or no row of a wanted method.
    """
    declared, suite = suite_of_rows(folder, suite), suite_name(suite)
    rows = read_suite(folder, suite)
    there = {*rows.statuses, *rows.damaged}
    for method in only if there else ():
        if method not in there:
            raise unknown(f"row of '{suite}'", method, there)
    known = {method: status for method, status in rows.statuses.items() if not only or method in only}
    choices, strange = _choices(folder / suite, catalogue, known)
    strange |= {method: why for method, why in rows.damaged.items() if not only or method in only}
    if not choices:
        why = next(iter(strange.values()), "A board needs results")
        raise UserError(
            f"No row of '{suite}' in '{folder}' can be shown." if there else f"'{folder}' has no rows of '{suite}'.",
            f"{why[0].upper()}{why[1:].rstrip('.')}.",
            "Name the folder or file of the rows' methods: --from DIR"
            if strange and not rows.damaged
            else f"Name a folder with runs: {command('leaderboard', suite=suite, folder='runs')}",
        )
    runs = rows.runs
    planned = _plan(declared, choices, runs)
    recorded = as_recorded(planned.suite, choices, runs, stale_rows(planned, runs))
    board = make_board(recorded or planned, runs)
    board = with_forgetting(board, read_measurements(folder, suite), read_oracle(folder, suite))
    board = replace(
        board,
        rows=(*board.rows, *(without_numbers(label, why) for label, why in strange.items())),
        warning=NOTE if recorded is not None else "",
        absent={} if only else _absent(catalogue, there),
    )
    return _with_statuses(board, known)


def committed_stale_rows(folder: Path, suite: str, catalogue: Catalogue) -> dict[str, str]:
    """Return the rows of a suite that the current code does not plan, with the reason, by label.

    Damaged rows and the rows of methods that are not known are among them.

    Raises
    ------
    UserError
        If there is no such suite.
    """
    rows = read_suite(folder, suite)
    choices, strange = _choices(folder / suite, catalogue, rows.statuses)
    planned = _plan(suite_of_rows(folder, suite), choices, rows.runs) if choices else None
    found = stale_rows(planned, rows.runs) if planned is not None else {}
    return found | strange | rows.damaged


def committed_stale_measurements(folder: Path, suite: str) -> dict[str, str]:
    """Return the audits and methods whose committed measurements are stale, with the reason.

    Raises
    ------
    UserError
        If the measurements are damaged.
    """
    measured, oracle = read_measurements(folder, suite), read_oracle(folder, suite)
    if measured.empty and oracle.empty:
        return {}
    keys, known = {run.key for run in read_suite(folder, suite).runs}, find_audits()
    return stale_measurements(measured, keys, known) | stale_measurements(oracle, (), known)


def suite_of_rows(folder: Path, suite: str) -> Suite:
    """Return the suite of committed rows, which lies beside them where it is not shipped.

    Raises
    ------
    UserError
        If there is no such suite.
    """
    return load_suite(suite, suite_file(folder, suite))


def suite_file(folder: Path, suite: str) -> Path:
    """Return where the declaration of a suite that is not shipped lies beside its rows."""
    return folder / suite_name(suite) / SUITE_FILE


def committed_suites(folder: Path) -> list[str]:
    """Return the suites that have rows in a leaderboards folder."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and any(path.glob("*.json")))


def _plan(suite: Suite, choices: Sequence[Choice], runs: Sequence[StoredRun]) -> Plan:
    """Return the runs that make up the board.

    Where the suite's images or weights are not installed, the hashes that most rows have are taken instead.
    """
    try:
        return plan(suite, choices)
    except UserError:
        kinds = Counter((run.spec.task.data_hash, run.spec.backbone) for run in runs)
        usual = kinds.most_common(1)[0][0]
        like = next(run.spec for run in runs if (run.spec.task.data_hash, run.spec.backbone) == usual)
        return plan(suite, choices, like=like)


def _absent(catalogue: Catalogue, there: Container[str]) -> dict[str, tuple[str, ...]]:
    """Return the names of the methods without a row by group."""
    absent = [choice for choice in catalogue.select(["all"]) if choice.label not in there]
    names = {group: tuple(choice.label for choice in absent if choice.preset.group == group) for group in GROUPS}
    return {group: own for group, own in names.items() if own}


def _choices(folder: Path, catalogue: Catalogue, labels: Iterable[str]) -> tuple[list[Choice], dict[str, str]]:
    """Return the choices for the labels of rows, and for each label that is not known the reason."""
    choices: list[Choice] = []
    strange = {}
    for label in labels:
        outside = recorded_outside(folder / f"{label}.json")
        if outside is not None and label in catalogue.presets:
            strange[label] = "its predictions are from outside, and a method here has its name"
            continue
        try:
            choices += [outside] if outside is not None else catalogue.select([label])
        except UserError as error:
            strange[label] = f"{error.what.rstrip('.')} here"
    return choices, strange


def _with_statuses(
    board: Board, known: Mapping[str, VerificationStatus], unclaimed: Container[str] = frozenset()
) -> Board:
    """Add to each row how far it was checked, and what its submitter claims about the method's whole block.

    Claims are left out for the methods in ``unclaimed``, of which the board has a part of the block only.
    """
    rows = tuple(
        replace(row, state=status.state, claimed={} if row.method in unclaimed else status.claimed)
        if (status := known.get(row.method))
        else row
        for row in board.rows
    )
    whole = {row.method for row in board.rows}
    part = _with_statuses(board.part, known, whole) if board.part is not None else None
    sizes = {size: _with_statuses(each, known, whole) for size, each in board.sizes.items()}
    return replace(board, rows=rows, part=part, sizes=sizes)
