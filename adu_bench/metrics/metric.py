"""What a metric is.  A metric is declared once; every table, page and list takes what it needs from the declaration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adu_bench.metrics.evidence import Evidence

UP, DOWN, NEITHER = "up", "down", "none"
PERCENT, COUNT, SECONDS, MEBIBYTES, NATS = "per cent", "count", "s", "MiB", "nats"
INTERVAL, LETTERS = "interval", "letters"
"""Units of values that are no single number: a pair of fractions (low, high), and a text."""

ALWAYS, IF_ANY, NEVER = "always", "if any", "never"
"""When a board has a column for a metric: always, if one of its rows has a value, or never."""

Value = tuple[float, int]
"""A number, and how many test images it rests on."""


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
        Computes it for one run: a value, values by domain, or None where the run lacks what it takes.  None for
        metrics that only boards have.
    of_board
        Computes it for one row of a board from the row's means by metric key (over seeds first, then over tasks); None
        where it cannot be computed.  No function (None) for metrics that boards leave out.
    unit
        Determines how it is written: `PERCENT` (values are fractions), `COUNT`, `SECONDS`, `MEBIBYTES`, `NATS`,
        `INTERVAL` or `LETTERS`.
    direction
        ``up`` if more is better, ``down`` if less is better, ``none`` if it only describes.
    low, high
        Range of possible values; infinite where it is open.
    ideal
        The best value, or None.
    family
        ``core`` (boards set the best value in bold), ``forgetting``, ``domain``, ``confidence``, ``representation``,
        ``cost`` or ``audit``.
    column
        When a board has a column for it: `ALWAYS`, `IF_ANY` or `NEVER`.
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
    ideal: float | None = None
    family: str = "core"
    column: str = NEVER
    priority: int = 3
    empty: str = "not measured"

    def text(self, value: Any) -> str:
        """Return a value as tables show it; empty for None."""
        if value is None:
            return ""
        if self.unit == LETTERS:
            return str(value)
        if self.unit == INTERVAL:
            return f"{100 * value[0]:.1f}-{100 * value[1]:.1f}"
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


def of_means(key: str) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function for `Metric.of_board` that takes what is known of a row under a key."""
    return lambda means: means.get(key)


def _finite(value: Any) -> Any:
    """Round a number to six decimals; what is not finite becomes None."""
    if not isinstance(value, float):
        return value
    return round(value, 6) if math.isfinite(value) else None
