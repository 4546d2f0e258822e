"""What reaches a terminal: text without control sequences that a name could carry, and one way to end on errors."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
    r"|\r(?!\n)"  # alone, it would overwrite its line
)


def printable(text: str) -> str:
    r"""Return a text with its control characters as escapes such as ``\x1b``; tabs and line ends stay.

    Names of images, domains, classes and suites come from files of strangers.  On a terminal, control sequences could
    hide or forge what is printed, and marks of direction could reorder it.
    """
    return _CONTROL.sub(lambda hit: hit[0].encode("unicode_escape").decode("ascii"), text)


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
    """Print through `printable`, and write out what is buffered at the end, so that a full disk is an error here.

    What the output's encoding lacks is printed as an escape.  Where an output is closed, nothing is printed: otherwise,
    the next file that is opened would have its number, and get what workers print.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (it stays for what follows)
    before = sys.stdout, sys.stderr
    errors = getattr(before[0], "errors", None)
    if errors == "strict" and hasattr(before[0], "reconfigure"):
        before[0].reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = _Guarded(before[0]), _Guarded(before[1])  # type: ignore[assignment]
    try:
        try:
            yield
        except SystemExit:  # of --help and --version
            before[0].flush()
            raise
        before[0].flush()
    finally:
        sys.stdout, sys.stderr = before


def console(**options: Any) -> Console:
    """Return a rich console for standard output, whose colours are its own: those in texts are escaped.

    Parameters
    ----------
    options
        Those of rich's ``Console``.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Guarded(Console):
        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=printable(segment.text))

        def on_broken_pipe(self) -> None:
            raise

    return Guarded(file=getattr(sys.stdout, "raw", sys.stdout), **options)


def complain(text: str) -> None:
    """Print a line to standard error, if anybody can read it there; the exit status says the rest."""
    with suppress(OSError, ValueError):
        print(printable(text), file=sys.stderr, flush=True)


def drop_output() -> None:
    """Let the rest of standard output go nowhere, so that Python does not fail at its end as well."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
