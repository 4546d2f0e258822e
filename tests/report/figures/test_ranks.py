from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from adu_bench.report.figures.ranks import caption, ranks
from adu_bench.report.style import look, style
from adu_bench.stats.ranks import Ranking, rank
from adu_bench.stats.scores import Scores


def made_up(values) -> tuple[SimpleNamespace, Ranking]:
    """A board and its ranking from H by method and task; each task forgets a domain of its own."""
    methods = ("adu", "baseline", "clipfit", "bbf", "mine")[: len(values)]
    tasks = tuple(f"t{place}" for place in range(len(values[0])))
    found = rank(Scores("h", methods, tasks, (1,), tuple((task,) for task in tasks), np.array(values)[:, :, None]))
    frame = pd.DataFrame({"metric": "h", "n": [100]})
    rows = [SimpleNamespace(method=method, group="paper") for method in methods]
    return SimpleNamespace(rows=rows, tasks=tasks, seeds=(1,), frame=frame), found


def drawn(board, found):
    with style():
        (axes,) = ranks(board, found).axes
    return axes


def bars(axes) -> list[tuple[float, float]]:
    """The ends of the thick lines."""
    return sorted((min(x), max(x)) for line in axes.lines if line.get_linewidth() > 2 for x in [line.get_xdata()])


def test_every_name_has_its_own_rank_and_marker_also_where_ranks_are_tied():
    board, found = made_up([[0.9] * 4, [0.5, 0.6, 0.5, 0.6], [0.6, 0.5, 0.6, 0.5], [0.1] * 4])
    axes = drawn(board, found)
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    markers = [line for line in axes.lines if len(line.get_xdata()) == 1]
    found_looks = {texts[tuple(line.get_xydata()[0])]: (line.get_marker(), line.get_color()) for line in markers}
    assert found_looks == {
        "adu  1.00": (look("adu").marker, look("adu").colour),
        "baseline  2.50": (look("baseline").marker, look("baseline").colour),
        "2.50  clipfit": (look("clipfit").marker, look("clipfit").colour),
        "4.00  bbf": (look("bbf").marker, look("bbf").colour),
    }


def test_bars_join_what_differs_by_less_than_the_critical_difference():
    order = [[0.9], [0.8], [0.7], [0.6], [0.5]]
    board, found = made_up([level * 8 for level in order])
    assert found.critical_difference == pytest.approx(2.157, abs=0.001)  # Demsar 2006: 2.728 x sqrt(5 x 6 / (6 x 8))
    assert bars(drawn(board, found)) == [(1, 3), (2, 4), (3, 5)]
    text = caption(board, found)
    assert "must differ by 2.16 where 4 is the most they can, and it tells 3 of 10 pairs apart." in text
    assert "independent" not in text


def test_the_caption_says_when_nothing_can_be_shown():
    board, found = made_up([[0.9, 0.8], [0.5, 0.6], [0.1, 0.2]])
    assert "by 2.34 where 2 is the most they can, so it can show nothing here." in caption(board, found)
    assert bars(drawn(board, found)) == [(1, 3)]


def test_tasks_that_are_no_blocks_are_spoken_of():
    board, found = made_up([[0.9] * 4, [0.5] * 4, [0.1] * 4])
    board.tasks += ("t0+t1",)
    assert "over the 4 tasks that share no forget domain (t0, t1, t2 and t3); others are no independent blocks." in (
        caption(board, found)
    )
