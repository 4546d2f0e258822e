from __future__ import annotations

import pytest

from adu_bench.leaderboard.board import make_board
from adu_bench.report.figures.tradeoff import caption, pareto
from adu_bench.store import Store
from tests.leaderboard.test_board import made_up_plan
from tests.report.conftest import blocks, write_blocks


def test_the_front_holds_what_nothing_beats():
    points = [(0.2, 0.9), (0.5, 0.6), (0.5, 0.5), (0.4, 0.6), (0.8, 0.1), (0.1, 0.9)]
    assert pareto(points) == [(0.2, 0.9), (0.5, 0.6), (0.8, 0.1)]
    assert pareto([(0.3, 0.3)] * 2) == [(0.3, 0.3)]
    assert pareto([]) == []


@pytest.mark.parametrize(("methods", "said"), [(1, False), (2, True)])
def test_one_method_is_not_said_to_be_ahead_of_others(methods, said, tmp_path):
    write_blocks(tmp_path)
    board = make_board(made_up_plan(*blocks()[:methods]), Store(tmp_path).runs())
    assert ("ahead of every other" in caption(board) or "Pareto front" in caption(board)) is said
