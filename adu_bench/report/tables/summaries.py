"""Tables of single methods: mean, interquartile mean and worst task; how often the best method beats each other one."""

from __future__ import annotations

from scipy.stats import trim_mean

from adu_bench.core.specs import forget_name
from adu_bench.leaderboard.board import Board, Row
from adu_bench.report.figures.common import block, complete, ends, intervals_sentence, percent, ranked, scores_of
from adu_bench.report.printing import in_order, name_of
from adu_bench.report.tables.table import Cell, Table
from adu_bench.stats.descriptive import improvement
from adu_bench.stats.scores import views_of

ANY = "any"
"""The part of a table that holds the tasks of all sizes."""


def boards_by_size(board: Board) -> dict[str, Board]:
    """Return the board of each number of forgotten domains, and that of all tasks if there is more than one."""
    sizes = {str(size): own for size, own in board.sizes.items()}
    if len(sizes) > 1:
        return {**sizes, ANY: board}
    (size,) = set(board.frame["forget"])
    return {str(size): board}


def summary_table(board: Board) -> Table:
    """Return mean, interquartile mean and worst task of ranked methods, one part per number of forgotten domains."""
    methods = [row.method for row in in_order(ranked(board))]

    def part(size: str, own: Board) -> tuple[tuple[Cell, ...], ...]:
        by_task = own.frame[own.frame["metric"] == "h"].groupby(["method", "task"])["value"].mean()
        rows: dict[str, Row] = {row.method: row for row in own.rows}
        # A quarter of the tasks is left out at either end (Agarwal et al. 2021).
        found = {
            method: (rows[method]["h_mean"], trim_mean(by_task[method], 0.25), by_task[method].min())
            for method in methods
        }
        tops = [max(values) for values in zip(*found.values(), strict=True)]

        def cells(method: str) -> tuple[Cell, ...]:
            bold = [len(methods) > 1 and one == top for one, top in zip(found[method], tops, strict=True)]
            mean, middle, worst = (Cell(percent(one), best) for one, best in zip(found[method], bold, strict=True))
            interval = Cell(ends(*(rows[method]["h_interval"] or (None, None))))
            name = forget_name(board.forget[by_task[method].idxmin()], " + ")
            return (Cell(name_of(method)), Cell(size), mean, interval, middle, worst, Cell(name))

        return tuple(map(cells, methods))

    return Table(
        columns=("method", "forgets", "mean of H", "95 % interval", "interquartile mean", "worst task", "which"),
        parts=tuple(part(size, own) for size, own in boards_by_size(board).items()),
        align="llrrrrl",
    )


def summary_caption(board: Board) -> str:
    """Return the caption of the summary table."""
    bold = "Bold: best of its part. " if len(ranked(board)) > 1 else ""
    return (
        "Per cent, ranked methods, by number of forgotten domains. The interquartile mean leaves out the lowest and "
        f"the highest quarter of the tasks. {intervals_sentence(board)} {bold}{block(board)}"
    )


def improvement_table(board: Board) -> Table:
    """Return how often the best ranked method beats every other, one column per number of forgotten domains."""
    best, *others = complete(board)
    found = scores_of(board, [best, *others])
    sizes = views_of(found.sizes)
    kinds = [[row for row in in_order(others) if row.reference is kind] for kind in (False, True)]

    def share(other: str, size: int | None) -> str:
        # Whole per cent: a few tasks and seeds do not support more digits.
        return f"{100 * improvement(found, best.method, other, size):.0f}"

    return Table(
        align="l" + "r" * len(sizes),
        columns=(
            f"{name_of(best.method)} against",
            *("any" if size is None else f"{size} forgotten" for size in sizes),
        ),
        parts=tuple(
            tuple((Cell(name_of(row.method)), *(Cell(share(row.method, size)) for size in sizes)) for row in kind)
            for kind in kinds
            if kind
        ),
    )


def improvement_caption(board: Board) -> str:
    """Return the caption of the table of improvements."""
    best = name_of(complete(board)[0].method)
    return (
        f"Probability, per cent, that a run of {best}, the best ranked method, has a higher H "
        "than a run of the method on the left on the same task: every seed against every seed, ties count half, mean "
        "over tasks; 50 means no difference. There are no intervals, since they "
        "would be too narrow near 0 and 100. Below the rule: "
        f"references. {block(board)}"
    )
