"""The one shape of a progress callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Called as often as convenient while something takes time."""

    def __call__(self, step: str, done: int, total: int, note: str = "") -> None:
        """Report progress.

        Parameters
        ----------
        step
            What is being done; the same text until it is finished.
        done, total
            How much of the step is done, and how much there is, in any unit.  The step ends when they are equal.
        note
            A few words on the current state, for example a loss.
        """


Count = Callable[[int, int], None]
"""A `Progress` whose step is bound: ``functools.partial(progress, "decoding images")``."""


def silent(step: str, done: int, total: int, note: str = "") -> None:
    """Report nothing."""


def uncounted(done: int, total: int) -> None:
    """Count nothing."""
