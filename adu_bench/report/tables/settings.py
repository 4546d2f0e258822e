"""What a suite sets instead of the methods' own defaults: its budget, and the values that were tuned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from adu_bench.leaderboard.board import Board, Row
from adu_bench.registry import ChangedField, format_value

HEADING = "What the suite sets instead of each method's default (in brackets)"


def settings_lines(board: Board) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield methods of a board, and in one line what the suite sets for them; equal lines are joined."""
    lines: dict[str, list[str]] = {}
    for row in board.rows:
        parts = [
            ", ".join(f"{field.name} {_value(field.value)} ({_value(field.default)})" for field in fields)
            for fields in _by_origin(row).values()
        ]
        titled = [f"{origin}: {part}" for origin, part in zip(_by_origin(row), parts, strict=True) if part]
        if titled:
            lines.setdefault("; ".join(titled), []).append(row.method)
    yield from ((tuple(methods), line) for line, methods in lines.items())


def settings_record(row: Row) -> dict[str, dict[str, Any]]:
    """Return what the suite sets for a method: ``budget`` and ``tuned``, by field, with ``value`` and ``default``."""
    return {
        origin: {field.name: {"value": field.value, "default": field.default} for field in fields}
        for origin, fields in _by_origin(row).items()
    }


def _by_origin(row: Row) -> dict[str, list[ChangedField]]:
    return {origin: [field for field in row.changed if field.origin == origin] for origin in ("budget", "tuned")}


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else format_value(value)
