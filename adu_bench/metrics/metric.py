"""What a metric is.  A metric is declared once; every table, page and list takes what it needs from the declaration."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adu_bench.metrics.evidence import Evidence, Value

UP, DOWN, NEITHER = "up", "down", "none"
PERCENT, COUNT, SECONDS, MEBIBYTES, NATS = "per cent", "count", "s", "MiB", "nats"
INTERVAL, LETTERS = "interval", "letters"
"""Units of values that are not single numbers: a pair of fractions (low, high), and a text."""

ALWAYS, IF_ANY, DATA, NEVER = "always", "if any", "data", "never"
"""When a board shows a metric: always, if one of its rows has a value, only in CSV and JSON, or never."""


@dataclass(frozen=True)
class Metric:
    """The declaration of a metric.

    Parameters
    ----------
    key
        Its name in data frames, CSV and JSON.
    title
        Its heading in tables.
    explanation
        What it is, without a full stop.
    of_run
        Computes it for one run: a value, values by domain, or None if the run lacks the data.  None for
        metrics that only boards have.
    of_board
        Computes it for one row of a board from what is known of the row: means by metric key (over seeds first, then
        over tasks), interval and letters; None where it cannot be computed.  Without a function it is the entry under
        its own key.
    unit
        Determines how it is written: `PERCENT` (values are fractions), `COUNT`, `SECONDS`, `MEBIBYTES`, `NATS`,
        `INTERVAL` or `LETTERS`.
    direction
        ``up`` if more is better, ``down`` if less is better, ``none`` if it only describes.
    low, high
        Range of possible values; infinite where it is open.
    family
        ``core`` (boards set the best value in bold), ``forgetting``, ``domain``, ``confidence``, ``representation``,
        ``cost`` or ``audit``.
    column
        When a board shows it: `ALWAYS`, `IF_ANY`, `DATA` or `NEVER`.
    priority
        Where there is room for the column: 1 everywhere, 2 from 80 columns of a terminal on, 3 from 120 columns on.
    empty
        Why a finished method may lack a value.
    """

    key: str
    title: str
    explanation: str
    of_run: Callable[[Evidence], Value | Mapping[str, Value] | None] | None = None
    of_board: Callable[[Mapping[str, Any]], Any] | None = None
    unit: str = PERCENT
    direction: str = UP
    low: float = 0.0
    high: float = 1.0
    family: str = "core"
    column: str = NEVER
    priority: int = 3
    empty: str = "not measured"

    def on_board(self, known: Mapping[str, Any]) -> Any:
        """Return its value for a row of a board, see ``of_board``; None where there is none."""
        return known.get(self.key) if self.of_board is None else self.of_board(known)

    def text(self, value: Any) -> str:
        """Return a value as tables show it; empty for None."""
        if value is None:
            return ""
        if self.unit == LETTERS:
            return shortened(str(value))
        if self.unit == INTERVAL:
            return f"{100 * value[0]:.1f}\N{EN DASH}{100 * value[1]:.1f}"
        if self.unit == COUNT:
            return f"{value:,.0f}"
        return f"{100 * value:.1f}" if self.unit == PERCENT else f"{value:.1f}"

    def record(self, value: Any) -> dict[str, Any]:
        """Return a value as CSV and JSON hold it; the interval ``x_interval`` gives ``x_low`` and ``x_high``."""
        if self.unit != INTERVAL:
            return {self.key: _finite(value)}
        low, high = value if value is not None else (None, None)
        stem = self.key.removesuffix("interval")
        return {f"{stem}low": _finite(low), f"{stem}high": _finite(high)}


def shortened(letters: str) -> str:
    """Write four or more neighbouring letters as a range: ``abcdeg`` becomes ``a-eg`` with an en dash."""
    parts: list[str] = []
    for letter in re.findall(r"[a-zA-Z]'*", letters):
        if parts and ord(letter[0]) == ord(parts[-1][-1]) + 1 and len(letter) == 1:
            parts[-1] += letter
        else:
            parts.append(letter)
    return "".join(f"{part[0]}\N{EN DASH}{part[-1]}" if len(part) > 3 and "'" not in part else part for part in parts)


def _finite(value: Any) -> Any:
    """Round a number to six decimals; what is not finite becomes None."""
    if not isinstance(value, float):
        return value
    return round(value, 6) if math.isfinite(value) else None
