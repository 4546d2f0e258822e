"""The critical-difference picture of a board as coordinates, for an inline SVG that follows the page's colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adu_bench.report.board import Board
from adu_bench.report.style import look
from adu_bench.stats.scores import forget_sets, scores

if TYPE_CHECKING:
    from adu_bench.metrics.frame import Scorable
    from adu_bench.stats.ranks import Ranking

WIDTH, MARGIN, LINE = 760, 200, 19
"""Width of the picture, of its names on either side, and height of a name."""
_AXIS, _GROUPS = 46, 9
_LONGEST = 26


def rank_picture(board: Board, runs: Sequence[Scorable]) -> dict[str, Any] | None:
    """Describe the average ranks of a board's ranked methods and which of them do not differ (Demsar 2006).

    Parameters
    ----------
    board
        The board.
    runs
        Its finished runs, for what its tasks forget.

    Returns
    -------
    dict or None
        ``picture`` with coordinates, None where so few tasks can show no difference; ``caption``, which says what was
        tested, or why nothing was; ``text``, the picture in words.  None where fewer than three methods are ranked.
    """
    from adu_bench.stats.ranks import rank

    methods = [row.method for row in board.rows if row.rank is not None]
    if len(methods) < 3:
        return None
    ranking = rank(scores(board.frame, forget_sets(runs), "h", methods))
    blocks, most = len(ranking.blocks), len(methods) - 1
    apart = f"{blocks} task{'s' * (blocks != 1)} that share no forgotten domain ({', '.join(ranking.blocks)})"
    if ranking.critical_difference > most:
        caption = (
            f"Too few tasks to test: within {apart}, average ranks would have to differ by "
            f"{ranking.critical_difference:.1f}, and {most} is the most that {len(methods)} methods can."
        )
        return {"picture": None, "caption": caption, "text": ""}
    found = "" if ranking.p < 0.05 else ", which finds no difference"
    caption = (
        f"Average rank by H within {apart}; 1 is best. A bar joins methods whose ranks differ by less than "
        f"{ranking.critical_difference:.2f}, the critical difference of Nemenyi's test at the 5 % level. Friedman's "
        f"test by shuffling: p = {ranking.p:.2g}{found}."
    )
    text = ", ".join(f"{method} {ranking.ranks[method]:.2f}" for method in ranking.methods)
    groups = {row.method: row.group for row in board.rows}
    return {"picture": _picture(ranking, groups), "caption": caption, "text": f"Average ranks: {text}."}


def cliques(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return the first and last place of each largest group of methods that differ by less than ``difference``.

    Parameters
    ----------
    ranks
        Average ranks, ascending.
    difference
        What makes a difference.
    """
    found: list[tuple[int, int]] = []
    for first, low in enumerate(ranks):
        last = max(place for place, high in enumerate(ranks) if high - low < difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _picture(ranking: Ranking, groups: dict[str, str]) -> dict[str, Any]:
    ranks = [float(ranking.ranks[method]) for method in ranking.methods]
    count = len(ranks)

    def across(rank: float) -> float:
        return round(MARGIN + (rank - 1) / (count - 1) * (WIDTH - 2 * MARGIN), 1)

    bars = cliques(ranks, ranking.critical_difference)
    first_line = _AXIS + _GROUPS * len(bars) + 24
    left = (count + 1) // 2
    names = []
    for place, (method, rank) in enumerate(zip(ranking.methods, ranks, strict=True)):
        right = place >= left
        names.append(
            {
                "name": method if len(method) <= _LONGEST else f"{method[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}",
                "rank": f"{rank:.2f}",
                "x": across(rank),
                # The right half is listed from the worst down, so that no line crosses another.
                "y": first_line + LINE * (count - 1 - place if right else place),
                "right": right,
                "colour": look(method, groups[method]).colour,
            }
        )
    return {
        "width": WIDTH,
        "height": first_line + LINE * left,
        "margin": MARGIN,
        "axis": _AXIS,
        "ends": (across(1), across(count)),
        "ticks": [(across(rank), rank) for rank in range(1, count + 1)],
        "difference": (across(1), across(1 + ranking.critical_difference), f"{ranking.critical_difference:.2f}"),
        "bars": [
            (round(across(ranks[first]) - 3, 1), round(across(ranks[last]) + 3, 1), _AXIS + 10 + _GROUPS * line)
            for line, (first, last) in enumerate(bars)
        ],
        "names": names,
    }
