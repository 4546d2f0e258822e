"""Curves of a study, one line per method: over one variable H, Mem and For, over several variables H over each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from adu_bench.core.words import counted
from adu_bench.leaderboard.board import Board
from adu_bench.report.figures.common import listed
from adu_bench.report.printing import across, name_of, page_width, points, scale
from adu_bench.report.style import FAINT, QUIET, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {"h_mean": "mean of H", "mem": "Mem", "for": "For"}
PANEL = 2.2
"""Least width of a panel in inches."""
NAMES = {
    "shots": "training images per class and domain",
    "gamma": "gamma, weight of the domain classifier",
    "lam": "lambda, weight of the MMD",
    "prompt_depth": "prompted blocks",
    "instapg_block": "block whose prompts InstaPG makes",
    "wrong": "share of wrong domain labels",
    "missing-kmeans": "share of missing domain labels, k-means instead",
    "missing-words": "share of missing domain labels, domain names instead",
    "dropped-forget": "dropped share of the forget domain's images",
    "dropped-retain": "dropped share of a retain domain's images",
}
"""Names of variables on an axis; other variables have their field's name."""
PUBLISHED, BOARD = "published value", "value on the board"
LINES: Mapping[str, Any] = {PUBLISHED: (0, (4, 2)), BOARD: "solid"}
"""The lines that mark the two values of a field."""
_ENTRY = 0.85
"""Inches of a legend's entry."""
_LOGARITHMIC = 20.0
"""Values whose largest is at least this many times the smallest positive one have a logarithmic axis."""


@dataclass(frozen=True)
class Marked:
    """Two values of a field that a figure marks: the method's default, and what the suite sets instead."""

    default: float
    board: float


Marks = Mapping[str, Marked]
"""By variable."""


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


def sweep(points: pd.DataFrame, variables: Sequence[str], marks: Marks) -> Figure:
    """Draw the curves of a study, in per cent.

    Parameters
    ----------
    points
        As for `usable`.
    variables
        The variables of the study with usable points: with one, the panels show H, Mem and For; with several, each
        panel shows H over one of them.
    marks
        Values to mark, by variable.
    """
    from matplotlib.figure import Figure

    panels = (
        [(variables[0], column, title) for column, title in PANELS.items()]
        if len(variables) == 1
        else [(variable, "h_mean", "") for variable in variables]
    )
    methods = list(dict.fromkeys(method for variable in variables for method in usable(points, variable)["method"]))
    columns = min(across(PANEL), len(panels))
    down = -(-len(panels) // columns)
    labelled = len(methods) > 1 or len(variables) > 1
    height = down * 2.1 * scale() ** 0.5 + 0.17 * scale() * labelled
    figure = Figure(figsize=(page_width(), height), layout="constrained")
    grid = figure.subplots(down, columns, sharey=True, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes, (variable, column, title) in zip(grid, panels, strict=False):
        _panel(axes, usable(points, variable), column)
        axes.set_title(title)
        if len(variables) > 1:
            axes.set_xlabel(NAMES.get(variable, variable))
            if variable in marks:
                _mark(axes, sorted(set(usable(points, variable)["value"])), marks[variable])
    grid[0].set_ylabel("%" if len(variables) == 1 else "mean of H, %")
    if len(variables) == 1:
        grid[len(panels) // 2 if down == 1 else len(panels) - 1].set_xlabel(NAMES.get(variables[0], variables[0]))
    entries = {label: line for axes in grid for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if len(entries) > 1:
        figure.legend(
            entries.values(), entries.keys(), loc="outside lower center", ncols=min(len(entries), across(_ENTRY))
        )
    return figure


def positions(values: Sequence[Any], shown: Sequence[Any]) -> list[float]:
    """Return where values stand on the axis of the sorted values ``shown``.

    The axis is logarithmic, with zero half a decade left of the smallest positive value, where the positive values
    differ by a factor of 20 or more.  Fractions in 0..1 have a linear axis.  Other values that are shown are at equal
    distances.
    """
    if not _is_logarithmic(shown):
        fractions = all(isinstance(value, float) and 0 <= value <= 1 for value in shown)
        return [float(value if fractions else shown.index(value)) for value in values]
    zero = np.log10(min(value for value in shown if value > 0)) - 0.5
    return [float(np.log10(value)) if value > 0 else float(zero) for value in values]


def caption(points: pd.DataFrame, variables: Sequence[str], board: Board, marks: Marks) -> str:
    """Return the caption."""
    counts = sorted({count for variable in variables for count in usable(points, variable)["tasks"]})
    spread = " or ".join(str(count) for count in counts)
    own = points[points["variable"].isin(variables)]
    missing = [
        f"{name_of(row['method'])} at {_text(row['value'])} ({row['runs']} of {row['planned']} runs)"
        for row in own[own["runs"] < own["planned"]].to_dict("records")
    ]
    seeds = counted(len(board.seeds), "seed")
    text = (
        f"Each point: {spread} task{'s' * (counts != [1])} x {seeds}, seeds averaged first. All else is as on the "
        "board. Points are not tested against each other."
    )
    if own["h_low"].notna().any():
        text += " Bars: 95 % intervals for other few-shot draws and other test images."
    if len(variables) > 1 and marks:
        text += " Vertical lines: the value of the method's source, and the value that the suite sets instead."
    return text + (f" Not finished and left out: {listed(missing)}." if missing else "")


def _is_logarithmic(values: Sequence[Any]) -> bool:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 for value in values):
        return False
    positive = [value for value in values if value > 0]
    return len(positive) > 1 and max(positive) / min(positive) >= _LOGARITHMIC


def _panel(axes: Axes, own: pd.DataFrame, column: str) -> None:
    shown = sorted(set(own["value"]))
    for method in dict.fromkeys(own["method"]):
        line = own[own["method"] == method].sort_values("value")
        places, own_look = positions(list(line["value"]), shown), look(method)
        axes.plot(places, 100 * line[column], label=name_of(method), **own_look.points())
        if column == "h_mean":
            axes.vlines(places, 100 * line["h_low"], 100 * line["h_high"], color=own_look.colour, linewidth=1)
    axes.set_xticks(positions(shown, shown), [_text(value) for value in shown])
    axes.grid(axis="y", color=FAINT)


def _mark(axes: Axes, shown: Sequence[Any], marked: Marked) -> None:
    """Draw a vertical line at each of the two values, with the value above it; equal ones have one line."""
    for value, label in {marked.board: BOARD, marked.default: PUBLISHED}.items():
        if _is_logarithmic(shown) or value in shown:
            (place,) = positions([value], shown)
            axes.axvline(place, color=QUIET, linewidth=0.9, linestyle=LINES[label], label=label, zorder=1)
            transform = axes.get_xaxis_transform()
            axes.text(place, 1.02, _text(value), transform=transform, ha="center", va="bottom", fontsize=points(6.5))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
