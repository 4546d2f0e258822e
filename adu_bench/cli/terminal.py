"""What reaches a terminal: text without control sequences that a name could carry, and one way to end on errors."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_CONTROL = re.compile(
    r"(\x1b\[[0-9;]*m)"  # colours, which tables have
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def printable(text: str) -> str:
    r"""Return a text with its control characters as escapes such as ``\x1b``; colours, tabs and line ends stay.

    Names of images, domains, classes and suites come from files of strangers.  On a terminal, control sequences could
    hide or forge what is printed, and marks of direction could reorder it.
    """
    return _CONTROL.sub(lambda hit: hit[1] or hit[0].encode("unicode_escape").decode("ascii"), text)


class _Guarded:
    """A text stream that writes `printable` texts."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        self.raw.write(printable(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


@contextmanager
def guarded_output() -> Iterator[None]:
    """Print through `printable`, and write out what is buffered at the end, so that a full disk is an error here."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Guarded(before[0]), _Guarded(before[1])  # type: ignore[assignment]
    try:
        yield
        before[0].flush()
    finally:
        sys.stdout, sys.stderr = before


def drop_output() -> None:
    """Let the rest of standard output go nowhere, so that Python does not fail at its end as well."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
