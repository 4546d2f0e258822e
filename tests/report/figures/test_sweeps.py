from __future__ import annotations

import pandas as pd

from adu_bench.leaderboard.curves import COLUMNS
from adu_bench.report.figures.sweeps import sweep, usable
from adu_bench.report.style import style

POINTS = pd.DataFrame(
    [
        ("gamma", 0.0, "adu", 0.5, 0.6, 0.54, 0.55, 4, 4, 4),
        ("gamma", 10.0, "adu", 0.4, 0.7, 0.5, 0.51, 4, 4, 4),
        ("gamma", 3.0, "adu", 0.4, 0.7, 0.5, 0.51, 4, 3, 4),
        ("gamma", 3.0, "other", 0.4, 0.7, 0.5, 0.51, 4, 4, 4),
        ("shots", 1, "adu", 0.4, 0.7, 0.5, 0.51, 4, 4, 4),
    ],
    columns=list(COLUMNS),
)


def test_only_complete_points_of_curves_are_drawn():
    assert usable(POINTS, "gamma")["value"].tolist() == [0.0, 10.0]
    assert usable(POINTS, "shots").empty
    with style():
        panels = sweep(POINTS, "gamma").axes
    assert [list(panel.lines[0].get_ydata()) for panel in panels] == [[54.0, 50.0], [50.0, 40.0], [60.0, 70.0]]
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["0", "10"]
