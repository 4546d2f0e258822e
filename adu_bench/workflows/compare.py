"""Compare two methods on one board or on several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adu_bench.core.commands import command
from adu_bench.core.errors import UserError
from adu_bench.leaderboard.board import Board
from adu_bench.metrics.frame import Scorable
from adu_bench.stats.across import Across, compare_across
from adu_bench.stats.domains import on_other_domains
from adu_bench.stats.paired import Comparison, compare, task_views
from adu_bench.stats.power import Powers, powers
from adu_bench.stats.sample import Sample, samples
from adu_bench.stats.scores import scores
from adu_bench.workflows.board import ANY, Results, board_of
from adu_bench.workflows.selection import Selection


def pair_board(selection: Selection, a: str, b: str, results: Results = ANY) -> Board:
    """Return the board that has both methods.

    Parameters
    ----------
    selection
        Suite, and which of its results.
    a, b
        Two methods, as the board names them.
    results
        Where the results are.

    Raises
    ------
    UserError
        If the methods are the same, or one of them has no finished run.
    """
    if a == b:
        raise UserError(f"'{a}' cannot be compared with itself.", "A comparison needs a pair.", "Name two methods.")
    board = board_of(selection, results, (a, b))
    shown = board.part if board.part is not None and {a, b} - set(board.frame["method"]) else board
    for method in (a, b):
        if method not in set(shown.frame["method"]):
            row = next((row for row in shown.rows if row.method == method), None)
            raise UserError(
                f"'{method}' has no finished run of '{board.suite}' that counts.",
                f"{row.reason[0].upper()}{row.reason[1:]}." if row and row.reason else "It has no results here.",
                command("run", suite=selection.suite, methods=method)
                if method.partition("[")[0] in selection.catalogue.presets
                else "Name the folder or file of the method: --from DIR",
            )
    return replace(shown, runs=board.runs, warning=board.warning)


def compare_methods(board: Board, a: str, b: str, size: int = 0) -> Comparison:
    """Compare two methods of a board.

    Parameters
    ----------
    board
        See `pair_board`.
    a, b
        The methods.
    size
        Only tasks that forget this many domains; 0 for all.

    Raises
    ------
    UserError
        If there are no such tasks.
    """
    labels, runs = _runs(board)
    return compare(board.frame, runs, labels, a, b, size=_size(size))


def compare_over_suites(boards: Sequence[Board], a: str, b: str, size: int = 0) -> Across:
    """Compare two methods on each of several boards, and over all of them where they are enough."""
    found = {board.suite: [*_samples(board, a, b, size).values()][-1].difference(a, b) for board in boards}
    return compare_across(found, {board.suite: board.common.task.dataset for board in boards})


def power(board: Board, a: str, b: str, difference: float, size: int = 0) -> Powers:
    """Return which differences of H (fractions) can be detected; parameters as in `compare_methods`."""
    pair = scores(board.frame, board.forget, "h", (a, b))
    view = pair.view(_size(size))
    sets = [forget for forget, inside in zip(pair.forget, view, strict=True) if inside]
    domains = on_other_domains((pair.by_task[0] - pair.by_task[1])[view], sets, board.common.task.domains)
    return powers(a, b, _samples(board, a, b, size), domains, difference)


def _samples(board: Board, a: str, b: str, size: int) -> dict[int | None, Sample]:
    """Return the samples of H of two methods for each view; the last one has all tasks."""
    labels, runs = _runs(board)
    views = task_views(scores(board.frame, board.forget, "h", (a, b)), _size(size))
    own = {key: label for key, label in labels.items() if label in (a, b)}
    return samples(runs, own, views, ("h",))


def _runs(board: Board) -> tuple[dict[str, str], list[Scorable]]:
    labels = board.frame.groupby("key")["method"].first().to_dict()
    return labels, [run for run in board.runs if run.key in labels]


def _size(size: int) -> int | None:
    if size < 0:
        raise UserError(f"--forget {size} is below zero.", "It counts domains.", "Give 1 or more.")
    return size or None
