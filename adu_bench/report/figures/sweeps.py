"""Curves over a variable: shots, a loss weight, a depth; H, Mem and For side by side, one line per method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from adu_bench.leaderboard.board import Board
from adu_bench.report.figures.common import counted, listed
from adu_bench.report.style import FAINT, TWO_COLUMNS, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = {"h_mean": "mean of H", "mem": "Mem", "for": "For"}
NAMES = {
    "shots": "training images per class and domain",
    "gamma": "gamma, weight of the domain classifier",
    "lam": "lambda, weight of the MMD",
    "prompt_depth": "prompted blocks",
    "instapg_block": "block whose prompts InstaPG makes",
}
"""Names of variables on an axis; other variables have their field's name."""


def usable(points: pd.DataFrame, variable: str) -> pd.DataFrame:
    """Return the complete points of a variable, of methods with at least two of them.

    Parameters
    ----------
    points
        See `adu_bench.leaderboard.curves.curves`.
    variable
        One of its variables.
    """
    own = points[(points["variable"] == variable) & (points["runs"] == points["planned"])]
    return own[own.groupby("method")["value"].transform("size") > 1]


def sweep(points: pd.DataFrame, variable: str) -> Figure:
    """Draw H, Mem and For, per cent, over the values of a variable, which are drawn at equal distances.

    Parameters
    ----------
    points, variable
        As for `usable`, which must not be empty.
    """
    from matplotlib.figure import Figure

    own = usable(points, variable)
    values = sorted(set(own["value"]))
    methods = list(dict.fromkeys(own["method"]))
    figure = Figure(figsize=(TWO_COLUMNS, 2.1 + 0.17 * (len(methods) > 1)), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (column, title) in zip(panels, PANELS.items(), strict=True):
        for method in methods:
            line = own[own["method"] == method].sort_values("value")
            places = [values.index(value) for value in line["value"]]
            axes.plot(places, 100 * line[column], label=method, **look(method).points())
        axes.set_xticks(range(len(values)), [_text(value) for value in values])
        axes.set_title(title)
        axes.grid(axis="y", color=FAINT)
    panels[0].set_ylabel("%")
    panels[len(PANELS) // 2].set_xlabel(NAMES.get(variable, variable))
    if len(methods) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(methods))
    return figure


def caption(points: pd.DataFrame, variable: str, board: Board) -> str:
    """Return the caption."""
    own = points[points["variable"] == variable]
    counts = sorted(set(usable(points, variable)["tasks"]))
    spread = " or ".join(str(count) for count in counts)
    missing = [
        f"{row['method']} at {_text(row['value'])} ({row['runs']} of {row['planned']} runs)"
        for row in own[own["runs"] < own["planned"]].to_dict("records")
    ]
    seeds = counted(len(board.seeds), "seed")
    text = (
        f"Each point: {spread} task{'s' * (counts != [1])} x {seeds}, seeds averaged first; all else as on the board; "
        "points are not tested against each other."
    )
    return text + (f" Not finished and left out: {listed(missing)}." if missing else "")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
