from __future__ import annotations

from math import log10

import pandas as pd
import pytest

from adu_bench.leaderboard.curves import COLUMNS
from adu_bench.report.figures.sweeps import Marked, positions, sweep, usable
from adu_bench.report.style import style

POINTS = pd.DataFrame(
    [
        ("gamma", 0.0, "adu", 0.5, 0.6, 0.54, 0.55, 4, 4, 4, 0.4, 0.6),
        ("gamma", 10.0, "adu", 0.4, 0.7, 0.5, 0.51, 4, 4, 4, 0.4, 0.6),
        ("gamma", 0.3, "adu", 0.4, 0.7, 0.56, 0.51, 4, 4, 4, 0.4, 0.6),
        ("gamma", 3.0, "adu", 0.4, 0.7, 0.5, 0.51, 4, 3, 4, 0.4, 0.6),
        ("gamma", 3.0, "other", 0.4, 0.7, 0.5, 0.51, 4, 4, 4, 0.4, 0.6),
        ("lam", 0.0, "adu", 0.4, 0.7, 0.52, 0.51, 4, 4, 4, 0.4, 0.6),
        ("lam", 1.0, "adu", 0.4, 0.7, 0.5, 0.51, 4, 4, 4, 0.4, 0.6),
        ("lam", 30.0, "adu", 0.4, 0.7, 0.44, 0.51, 4, 4, 4, 0.4, 0.6),
        ("shots", 1, "adu", 0.4, 0.7, 0.5, 0.51, 4, 4, 4, 0.4, 0.6),
    ],
    columns=list(COLUMNS),
)


def test_only_complete_points_of_curves_are_drawn():
    assert usable(POINTS, "gamma")["value"].tolist() == [0.0, 10.0, 0.3]
    assert usable(POINTS, "shots").empty
    with style():
        panels = sweep(POINTS, ["gamma"], {}).axes
    for panel, heights in zip(panels, ([54, 56, 50], [50, 40, 40], [60, 70, 70]), strict=True):
        assert list(panel.lines[0].get_ydata()) == pytest.approx(heights)
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["0", "0.3", "10"]


def test_a_wide_range_has_a_logarithmic_axis_that_shows_zero():
    shown = [0.0, 0.3, 10.0]
    assert positions([0.0, 0.3, 3.0], shown) == pytest.approx([log10(0.3) - 0.5, log10(0.3), log10(3)])
    assert positions([1, 8], [1, 2, 4, 8]) == [0, 3]
    assert positions(["b"], ["a", "b"]) == [1]
    assert positions([0.1, 1.0], [0.0, 0.1, 0.3, 1.0]) == [0.1, 1.0]


def test_two_variables_share_one_figure_and_the_axis_of_h_and_mark_published_and_used_values():
    marks = {"gamma": Marked(30.0, 1.5), "lam": Marked(10.0, 10.0)}
    with style():
        gamma, lam = sweep(POINTS, ["gamma", "lam"], marks).axes
    assert list(gamma.lines[0].get_ydata()) == pytest.approx([54, 56, 50])
    assert list(lam.lines[0].get_ydata()) == pytest.approx([52, 50, 44])
    assert gamma.get_ylim() == lam.get_ylim()
    assert {text.get_text() for text in gamma.texts} == {"30", "1.5"}
    assert [text.get_text() for text in lam.texts] == ["10"]
    assert [line.get_xdata()[0] for line in gamma.lines[1:]] == pytest.approx([log10(1.5), log10(30)])
