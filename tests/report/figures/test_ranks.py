from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from adu_bench.report.figures.ranks import caption, ranks
from adu_bench.report.style import look, style
from adu_bench.stats.measured import wrong
from adu_bench.stats.ranks import Ranking, rank
from adu_bench.stats.scores import Scores


def made_up(values) -> tuple[SimpleNamespace, Ranking]:
    """A board and its ranking from H by method and task; each task forgets a domain of its own."""
    methods = ("adu", "baseline", "clipfit", "bbf", "mine")[: len(values)]
    tasks = tuple(f"t{place}" for place in range(len(values[0])))
    found = rank(Scores("h", methods, tasks, (1,), tuple((task,) for task in tasks), np.array(values)[:, :, None]))
    frame = pd.DataFrame({"metric": "h", "n": [100]})
    rows = [SimpleNamespace(method=method, group="paper") for method in methods]
    return SimpleNamespace(rows=rows, tasks=tasks, seeds=(1,), frame=frame, caveat=""), found


def drawn(board, found):
    with style():
        (axes,) = ranks(board, found).axes
    return axes


def bars(axes) -> list[tuple[float, float]]:
    """The points of the thick lines, which must not come in an order that differs from process to process."""
    return sorted(tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() > 2)


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


def test_bars_join_what_the_t_over_domains_does_not_tell_apart():
    rng = np.random.default_rng(2)
    levels = np.array([0.9, 0.895, 0.6, 0.595])
    board, found = made_up(levels[:, None] + rng.normal(0, 0.01, (4, 8)))
    assert bars(drawn(board, found)) == [(found.ranks.iloc[0], found.ranks.iloc[1]), tuple(found.ranks.iloc[2:])]
    assert "it tells 4 of 6 pairs apart." in caption(board, found)


def test_the_caption_says_what_rank_tests_are_worth():
    board, found = made_up([[0.9, 0.8, 0.9], [0.5, 0.6, 0.5], [0.1, 0.2, 0.1]])
    assert found.critical_difference == pytest.approx(1.913, abs=0.001)  # Demsar 2006: 2.343 x sqrt(3 x 4 / (6 x 3))
    text = caption(board, found)
    assert "Nemenyi's test (critical difference 1.91, 1 of 3 pairs differ) are not valid" in text
    assert f"on {100 * wrong('Friedman, shuffled', 1):.0f} % and {100 * wrong('Nemenyi', 1):.0f} % of simulated" in text


def test_doubts_are_spoken_of():
    board, found = made_up([[0.9] * 4, [0.5] * 4, [0.1] * 4])
    assert "Over the 4 tasks without a common forget domain, Friedman" in caption(board, found)
    board.caveat = "Beware."
    assert "Beware. Over the 4 tasks" in caption(board, found)
