"""The chart of the web page: Mem over For of every method, with curves of equal H, as shapes of one SVG image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from adu_bench.leaderboard.board import Board, Row
from adu_bench.metrics.measures import METRICS
from adu_bench.report.figures.words import tradeoff_words
from adu_bench.report.style import look

_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 484.0, 12.0, 372.0
"""Edges of the axes, in units of the image, which is 520 wide and 416 high."""
_RADIUS = 6.5
_CURVES = range(5, 100, 5)
"""Per cent of H for which a curve may be drawn."""


@dataclass(frozen=True)
class _Axis:
    """A linear axis from ``low`` to ``high`` per cent, at the positions ``start`` to ``end`` of the image."""

    low: int
    high: int
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the position of a value."""
        return round(self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low), 1)

    @property
    def step(self) -> int:
        """The distance between ticks: there are three to seven."""
        return next(step for step in (5, 10, 20) if (self.high - self.low) / step <= 6 or step == 20)

    def ticks(self) -> list[tuple[int, float]]:
        """Return the values of the ticks with their positions."""
        first = math.ceil(self.low / self.step) * self.step
        return [(value, self.at(value)) for value in range(first, self.high + 1, self.step)]


def scatter(board: Board) -> dict[str, Any] | None:
    """Return a board's methods as points with Mem, For and H; None where fewer than two have all three.

    Returns
    -------
    dict
        ``points``, ``curves`` and ``ticks`` with positions in the image, and ``words``, which say what it shows.
    """
    rows = [row for row in board.rows if None not in (row["mem"], row["for"], row["h_mean"])]
    if len(rows) < 2:
        return None
    across = _axis([100 * row["for"] for row in rows], _LEFT, _RIGHT)
    up = _axis([100 * row["mem"] for row in rows], _BOTTOM, _TOP)
    return {
        "left": _LEFT,
        "right": _RIGHT,
        "top": _TOP,
        "bottom": _BOTTOM,
        "across": across.ticks(),
        "up": up.ticks(),
        "curves": list(_curves(across, up)),
        "points": [_point(row, across, up) for row in rows],
        "words": f"{tradeoff_words(rows)} The upper right corner is ideal.",
    }


def _axis(values: Sequence[float], start: float, end: float) -> _Axis:
    """Return an axis that holds all values with some room, and ends at multiples of five per cent."""
    low = max(0, 5 * math.floor((min(values) - 2) / 5))
    high = min(100, 5 * math.ceil((max(values) + 2) / 5))
    return _Axis(low, high, start, end)


def _point(row: Row, across: _Axis, up: _Axis) -> dict[str, Any]:
    drawn = look(row.method, row.group)
    told = [f"{METRICS[key].title} {METRICS[key].text(row[key])}" for key in ("mem", "for", "h_mean")]
    if row["h_interval"] is not None:
        told[-1] += f" ({METRICS['h_interval'].text(row['h_interval'])})"
    if row["letters"]:
        told.append(f"letters {METRICS['letters'].text(row['letters'])}")
    return {
        "method": row.method,
        "family": row.group,
        "text": ", ".join(told),
        "x": across.at(100 * row["for"]),
        "y": up.at(100 * row["mem"]),
        "shape": _shape(drawn.marker),
        "colour": drawn.colour,
        "filled": drawn.filled,
    }


def _curves(across: _Axis, up: _Axis) -> Iterator[dict[str, Any]]:
    """Yield curves of equal H of Mem and For, each with its label where it leaves the axes at the right or below."""
    spacing = 5 if max(across.high - across.low, up.high - up.low) <= 30 else 10
    for h in _CURVES:
        if h % spacing:
            continue
        # Mem = h For / (2 For - h), and the same with both exchanged.
        first = max(across.low, _other(h, up.high))
        last = min(across.high, _other(h, up.low))
        if last - first < (across.high - across.low) / 20:
            continue
        values = [first + (last - first) * number / 40 for number in range(41)]
        places = [(across.at(value), min(max(up.at(_other(h, value)), _TOP), _BOTTOM)) for value in values]
        x, y = places[-1]
        below = last < across.high
        yield {
            "path": "M" + "L".join(f"{x} {y}" for x, y in places),
            "label": str(h),
            "x": x if below else x + 5,
            "y": y - 5 if below else y + 4,
            "anchor": "middle" if below else "start",
        }


def _other(h: float, value: float) -> float:
    """Return the value whose harmonic mean with a value is h; infinite where there is none."""
    return h * value / (2 * value - h) if 2 * value > h else math.inf


def _shape(marker: str) -> str:
    """Return the path of a marker of matplotlib, centred on zero."""
    if marker == "o":
        r = 0.85 * _RADIUS
        return f"M{-r:.1f} 0A{r:.1f} {r:.1f} 0 1 0 {r:.1f} 0A{r:.1f} {r:.1f} 0 1 0 {-r:.1f} 0Z"
    if marker in ("P", "X"):
        arm, half = _RADIUS, _RADIUS / 3
        corners = [
            (-half, -arm), (half, -arm), (half, -half), (arm, -half), (arm, half), (half, half),
            (half, arm), (-half, arm), (-half, half), (-arm, half), (-arm, -half), (-half, -half),
        ]  # fmt: skip
        turn = math.pi / 4 if marker == "X" else 0.0
        corners = [
            (x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)) for x, y in corners
        ]
    else:
        count, degrees, squeeze = _POLYGONS[marker]
        angles = [math.radians(degrees + 360 * number / count) for number in range(count)]
        corners = [(squeeze * _RADIUS * math.cos(angle), _RADIUS * math.sin(angle)) for angle in angles]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "Z"


_POLYGONS = {
    "s": (4, 45, 1.0),
    "^": (3, -90, 1.0),
    "v": (3, 90, 1.0),
    "<": (3, 180, 1.0),
    ">": (3, 0, 1.0),
    "D": (4, 0, 1.0),
    "d": (4, 0, 0.6),
    "h": (6, 30, 1.0),
    "p": (5, -90, 1.0),
}
"""Markers that are regular polygons: number of corners, angle of the first, and how far they are squeezed sideways."""
