"""Methods of which only predictions are known: they take part in boards, and nobody can run them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from adu_bench.core.files import read_text
from adu_bench.registry import Choice
from adu_bench.registry.manifest import MethodEntry, PresetEntry

OUTSIDE = "outside"
"""The entry of a committed row that says that its predictions were made outside adu-bench."""
_LARGEST = 200_000_000


@dataclass(frozen=True)
class OutsideEntry(MethodEntry):
    """A method without code, known by the digest of its predictions, which takes the place of the code's digest."""

    predictions: str = ""

    @cached_property
    def source_hash(self) -> str:
        """The digest of the predictions."""
        return self.predictions

    @cached_property
    def core_hash(self) -> str:
        """Empty: changes of this package's training code do not concern it."""
        return ""


def outside_choice(name: str, card: Mapping[str, Any], predictions: str) -> Choice:
    """Return the choice of a method without code.

    Parameters
    ----------
    name
        Its name on boards.
    card
        Title, authors, year and so on, see `adu_bench.training.method.Card`.
    predictions
        The digest of its predictions.
    """
    preset = PresetEntry(name, "other", str(card.get("title", name)), {})
    return Choice(preset, OutsideEntry(name, "", Path(), dict(card), {}, (preset,), {}, (), (), predictions))


def recorded_outside(path: Path) -> Choice | None:
    """Return the method of a committed row of outside predictions; None for other rows and for damaged ones."""
    try:
        record = json.loads(read_text(path, _LARGEST))
        if not record.get(OUTSIDE):
            return None
        return outside_choice(str(record["label"]), record["card"], str(record["common"]["method"]["source_hash"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
