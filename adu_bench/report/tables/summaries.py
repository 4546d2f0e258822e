"""Tables of single methods: mean, interquartile mean and worst task; how often the best method beats each other one."""

from __future__ import annotations

from adu_bench.core.specs import forget_name
from adu_bench.leaderboard.board import Board
from adu_bench.report.figures.common import block, complete, ends, percent, ranked, scores_of
from adu_bench.report.tables.table import Cell, Table
from adu_bench.stats.ranks import improvement
from adu_bench.stats.scores import views_of
from adu_bench.stats.summary import Summary, summarise


def summaries(board: Board) -> dict[int | None, dict[str, Summary]]:
    """Summarise the ranked methods for each number of forgotten domains, and (None) for all tasks."""
    found = scores_of(board, ranked(board))
    return {
        size: {
            method: summarise(values, found.forget, found.view(size))
            for method, values in zip(found.methods, found.values, strict=True)
        }
        for size in views_of(found.sizes)
    }


def summary_table(board: Board, found: dict[int | None, dict[str, Summary]]) -> Table:
    """Return mean, interquartile mean and worst task of the ranked methods, one part per number of forgotten domains.

    Parameters
    ----------
    board
        The board.
    found
        See `summaries`.
    """
    sets = scores_of(board, ranked(board)).forget

    def part(size: int | None, own: dict[str, Summary]) -> tuple[tuple[Cell, ...], ...]:
        estimates = {name: (one.mean, one.middle, one.worst) for name, one in own.items()}
        tops = [
            max(values) for values in zip(*([each.value for each in row] for row in estimates.values()), strict=True)
        ]
        return tuple(
            (
                Cell(method),
                Cell("any" if size is None else str(size)),
                Cell(forget_name(sets[own[method].worst_task], " + ")),
                *(
                    cell
                    for each, top in zip(row, tops, strict=True)
                    for cell in (
                        Cell(percent(each.value), len(own) > 1 and each.value == top),
                        Cell(ends(each.low, each.high)),
                    )
                ),
            )
            for method, row in estimates.items()
        )

    return Table(
        groups=(("", 3), ("mean", 2), ("interquartile mean", 2), ("worst task", 2)),
        columns=("method", "forgets", "worst task", *("H", "95 % interval") * 3),
        parts=tuple(part(size, own) for size, own in found.items()),
        align="lll" + "rr" * 3,
    )


def summary_caption(board: Board, found: dict[int | None, dict[str, Summary]]) -> str:
    """Return the caption of the summary table, with the reasons for missing intervals."""
    every = [one for own in found.values() for one in own.values()]
    reasons = dict.fromkeys(each.reason for one in every for each in (one.mean, one.worst) if each.reason)
    return " ".join(
        [
            "Per cent, ranked methods, by number of forgotten domains. The interquartile mean leaves out the lowest "
            "and the highest quarter of the tasks. Intervals of both means are for other domains (Student's t over "
            "domains), those of the worst task for other seeds on the same tasks (Student's t, variance of seeds "
            "pooled over tasks). Bold: best of its part.",
            *filter(None, [board.caveat]),
            *reasons,
            block(board),
        ]
    )


def improvement_table(board: Board) -> Table:
    """Return how often the best ranked method beats every other, one column per number of forgotten domains."""
    best, *others = complete(board)
    found = scores_of(board, [best, *others])
    sizes = views_of(found.sizes)
    kinds = [[row for row in others if row.reference is kind] for kind in (False, True)]

    def share(other: str, size: int | None) -> str:
        # Whole per cent: a few tasks and seeds do not support more digits.
        return f"{100 * improvement(found, best.method, other, size):.0f}"

    return Table(
        align="l" + "r" * len(sizes),
        columns=(f"{best.method} against", *("any" if size is None else f"{size} forgotten" for size in sizes)),
        parts=tuple(
            tuple((Cell(row.method), *(Cell(share(row.method, size)) for size in sizes)) for row in kind)
            for kind in kinds
            if kind
        ),
    )


def improvement_caption(board: Board) -> str:
    """Return the caption of the table of improvements."""
    return (
        f"Probability, per cent, that a run of {complete(board)[0].method}, the best ranked method, has a higher H "
        "than a run of the method on the left on the same task: every seed against every seed, ties count half, mean "
        "over tasks; 50 means no difference. There are no intervals, since they "
        "would be too narrow near 0 and 100. Below the rule: "
        f"references. {block(board)}"
    )
