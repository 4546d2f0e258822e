"""Bounds of numeric fields, as a method declares them: ``">= 1"``, ``"> 0, <= 1"``."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Any

_COMPARE = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
_PART = re.compile(r"(>=|>|<=|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


@dataclass(frozen=True)
class Bounds:
    """The numbers that a field may take.

    Parameters
    ----------
    text
        The bounds as declared.
    limits
        Pairs of a comparison (``>=``, ``>``, ``<=``, ``<``) and a number; all of them hold.
    """

    text: str
    limits: tuple[tuple[str, float], ...]

    @staticmethod
    def read(declared: Any) -> Bounds:
        """Read a declaration: a lower and an upper limit with a comma between them, or one of the two.

        Raises
        ------
        ValueError
            If it is something else.
        """
        parts = [_PART.fullmatch(part.strip()) for part in declared.split(",")] if isinstance(declared, str) else []
        limits = tuple((part[1], float(part[2])) for part in parts if part is not None)
        sides = "".join(comparison[0] for comparison, _ in limits)
        if len(limits) != len(parts) or sides not in (">", "<", "><"):
            raise ValueError(f"{declared!r} is not of the form '>= 1', '< 1' or '> 0, <= 1'")
        strict = any(len(comparison) == 1 for comparison, _ in limits)
        if sides == "><" and (limits[0][1] > limits[1][1] or (strict and limits[0][1] == limits[1][1])):
            raise ValueError(f"no number is {declared}")
        return Bounds(declared, limits)

    def allow(self, value: Any) -> bool:
        """Return whether all numbers of a value are within the bounds; a value without numbers always is."""
        if isinstance(value, tuple):
            return all(map(self.allow, value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        return all(_COMPARE[comparison](value, limit) for comparison, limit in self.limits)
