from __future__ import annotations

from adu_bench.report.figures.tradeoff import pareto


def test_the_front_holds_what_nothing_beats():
    points = [(0.2, 0.9), (0.5, 0.6), (0.5, 0.5), (0.4, 0.6), (0.8, 0.1), (0.1, 0.9)]
    assert pareto(points) == [(0.2, 0.9), (0.5, 0.6), (0.8, 0.1)]
    assert pareto([(0.3, 0.3)] * 2) == [(0.3, 0.3)]
    assert pareto([]) == []
