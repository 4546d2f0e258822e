"""The critical-difference diagram of a board as coordinates, for an inline SVG that follows the page's colours."""

from __future__ import annotations

from string import ascii_letters
from typing import TYPE_CHECKING, Any

from adu_bench.leaderboard.board import Board
from adu_bench.report.style import look
from adu_bench.stats.estimates import FEWEST_DOMAINS
from adu_bench.stats.scores import scores

if TYPE_CHECKING:
    import pandas as pd

    from adu_bench.stats.ranks import Ranking

WIDTH, MARGIN, LINE = 760, 200, 19
"""Width of the diagram, width of the names on each side, and height of a name."""
_AXIS, _GROUPS = 30, 9
_LONGEST = 26


def rank_diagram(whole: Board, board: Board) -> dict[str, Any] | None:
    """Return the average ranks of a board's ranked methods and which of them do not differ (Demsar 2006).

    Parameters
    ----------
    whole, board
        The suite's board, and the board of the tasks that are shown.

    Returns
    -------
    dict or None
        ``diagram`` with coordinates, None where there are too few domains to test; ``caption``, which says what was
        tested, or why nothing was; ``text``, the diagram in words.  None where fewer than three methods are ranked.
    """
    from adu_bench.stats.ranks import rank, rank_tests

    methods = [row.method for row in board.rows if row.rank is not None]
    if len(methods) < 3:
        return None
    # All tasks show how far domains differ; methods that ran on some tasks only are not on the whole board.
    frame = whole.frame if set(methods) <= set(whole.frame["method"]) else board.frame
    block = scores(frame, board.forget, "h", methods)
    ranking = rank(block, [task in board.tasks for task in block.tasks])
    if ranking.pairs.isna().any(axis=None):
        caption = f"Too few domains to test: a t over domains takes {FEWEST_DOMAINS} that can be told apart."
        return {"diagram": None, "caption": caption, "text": ""}
    caption = (
        f"Average rank by H over {ranking.tasks} task{'s' * (ranking.tasks != 1)}; 1 is best. A bar joins methods that "
        f"the t over domains does not tell apart (Holm, 5 %). {rank_tests(ranking)}"
    ).rstrip()
    text = ", ".join(f"{method} {ranking.ranks[method]:.2f}" for method in ranking.methods)
    groups = {row.method: row.group for row in board.rows}
    return {"diagram": _diagram(ranking, groups), "caption": caption, "text": f"Average ranks: {text}."}


def cliques(pairs: pd.DataFrame) -> list[list[int]]:
    """Return the positions of the methods in each maximal group of at least two that do not differ.

    Parameters
    ----------
    pairs
        p-values (methods x methods), methods by their ranks.
    """
    from adu_bench.stats.ranks import letters

    found = letters(pairs)
    groups = [[place for place, own in enumerate(found.values()) if one in own] for one in ascii_letters]
    return [group for group in groups if len(group) > 1]


def _diagram(ranking: Ranking, groups: dict[str, str]) -> dict[str, Any]:
    ranks = [float(ranking.ranks[method]) for method in ranking.methods]
    count = len(ranks)

    def across(rank: float) -> float:
        return round(MARGIN + (rank - 1) / (count - 1) * (WIDTH - 2 * MARGIN), 1)

    bars = cliques(ranking.pairs)
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
                # The right half is listed from the worst rank down, so that lines do not cross.
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
        "bars": [
            {
                "ends": (round(across(ranks[group[0]]) - 3, 1), round(across(ranks[group[-1]]) + 3, 1)),
                "members": [across(ranks[place]) for place in group],
                "y": _AXIS + 10 + _GROUPS * line,
            }
            for line, group in enumerate(bars)
        ],
        "names": names,
    }
