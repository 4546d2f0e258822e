"""Make a board from committed rows or from runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adu_bench.audits.catalogue import find_audits
from adu_bench.core.commands import DEFAULT_FOLDER, command
from adu_bench.core.errors import UserError
from adu_bench.leaderboard.board import Board, make_board, with_forgetting
from adu_bench.leaderboard.committed import committed_board
from adu_bench.leaderboard.measurements import measurements_of
from adu_bench.leaderboard.rows import rows_dir
from adu_bench.store import Store
from adu_bench.suites import load_suite, suite_name, suite_names
from adu_bench.workflows.selection import Selection


@dataclass(frozen=True)
class Results:
    """Where results are.

    Parameters
    ----------
    runs
        Folder of runs; empty where it is not named.
    rows
        Folder of committed rows; empty where it is not named.

    Raises
    ------
    UserError
        If both are named, since a board is made from one of them.
    """

    runs: str = ""
    rows: str = ""

    def __post_init__(self) -> None:
        if self.runs and self.rows:
            raise UserError(
                f"'{self.runs}' and '{self.rows}' cannot be shown on one board.",
                "A board is made from runs (--runs) or from committed rows (--rows).",
                f"Make rows of the runs first: {command('leaderboard', runs=self.runs, write=self.rows)}",
            )

    @property
    def rows_folder(self) -> Path:
        """The named folder of committed rows, else the project's."""
        return Path(self.rows) if self.rows else rows_dir()


ANY = Results()
"""Committed rows where there are some, else the runs in ``runs``."""


def board_of(selection: Selection, results: Results = ANY, only: Sequence[str] = ()) -> Board:
    """Read the named results, else the suite's committed rows, else the runs in ``runs``.

    Of committed rows the chosen methods are shown; where none of them has a row, the runs are read.

    Parameters
    ----------
    selection
        Suite and methods.
    results
        Where the results are.
    only
        The methods that are needed, so that no others are scored; all if empty.

    Raises
    ------
    UserError
        If there is no such suite, there are no results, or the selection would change what a committed row is.
    """
    folder = results.rows_folder
    there = {path.stem for path in (folder / suite_name(selection.suite)).glob("*.json")}
    chosen = [choice.label for choice in selection.catalogue.select([selection.methods])] if selection.methods else []
    with_rows = [label for label in chosen if label in there]
    if results.rows or (there and not results.runs and (with_rows or not chosen)):
        require_whole_rows(selection, f"or add the folder of your runs: --runs {DEFAULT_FOLDER}")
        return committed_board(folder, selection.suite, selection.catalogue, only or with_rows or chosen)
    return _from_runs(selection, Path(results.runs or "runs"), only)


def require_whole_rows(selection: Selection, otherwise: str = "") -> None:
    """Refuse what only runs allow: a committed row is a method's whole block of the suite as it is declared.

    Parameters
    ----------
    selection
        Suite and methods.
    otherwise
        What can be done instead of leaving the options out; empty for nothing.

    Raises
    ------
    UserError
        If it chooses a part of the block, or other runs.
    """
    names = ("seeds", "sizes", "limit", "backbone", "settings", "study")
    given = [f"--{name}" for name in names if getattr(selection, name)]
    if given:
        raise UserError(
            f"{' and '.join(given)} cannot be applied to the committed rows of '{selection.suite}'.",
            "A row is a method's whole block of the suite.",
            f"Leave {'it' if len(given) == 1 else 'them'} out{f', {otherwise}' if otherwise else '.'}",
        )


def _from_runs(selection: Selection, folder: Path, only: Sequence[str]) -> Board:
    dataset = load_suite(selection.suite).dataset
    if not folder.is_dir():
        raise UserError(
            f"There is no folder '{folder}' with runs, and no committed rows for '{selection.suite}'.",
            "A board is made of results.",
            command("run", suite=selection.suite, methods=selection.methods),
        )
    store = Store(folder)
    methods = ",".join(only) or selection.methods
    if not methods:
        known = selection.catalogue.presets
        own = [run.label for run in store.runs() if run.spec.task.dataset == dataset]
        methods = ",".join(dict.fromkeys(label for label in own if label.partition("[")[0] in known))
    plan = replace(selection, methods=methods).plan(store)
    runs = store.runs(sorted({run.spec.key for run in plan.runs}))
    # Other runs only say why some of the plan are missing.
    board = make_board(plan, runs if len(runs) == len(plan.runs) else store.runs())
    if not any((folder / "artefacts").glob("*/audit-*")):
        return board
    return with_forgetting(board, measurements_of(folder, selection.suite, board.runs, find_audits()))


def suites_with_results(results: Results = ANY) -> tuple[list[str], list[str]]:
    """Return the suites that have results.

    Returns
    -------
    tuple
        Names of the suites, and one sentence per suite that was left out because its data set is damaged.

    Raises
    ------
    UserError
        If there are no results.
    """
    left_out = []
    if results.runs:
        datasets = {run.spec.task.dataset for run in Store(Path(results.runs)).runs()}
        found = []
        for name in suite_names():
            try:
                if load_suite(name).dataset in datasets:
                    found.append(name)
            except UserError as error:
                left_out.append(f"left out {name}: {error}")
    else:
        found = sorted({path.parent.name for path in results.rows_folder.glob("*/*.json")})
    if not found:
        raise UserError(
            f"There are no results in '{results.runs or results.rows_folder}'.",
            "A page is made of results.",
            f"Name a folder with runs: {command('leaderboard', suite='all', folder='DIR', format='html')}",
        )
    return found, left_out
