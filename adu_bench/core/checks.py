"""Checks of a contract: functions that raise, and what they say of a subject."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from adu_bench.core.errors import AduError

Subject = TypeVar("Subject")
LOG = logging.getLogger(__name__)
"""Gets the tracebacks of errors inside subjects, which ``--debug`` shows."""


class CheckFailed(AduError):
    """A method or an audit breaks its contract; the message says where, and how to fix it."""


def run_all(
    checks: Iterable[Callable[[Subject], None]],
    subject: Subject,
    path: Path | None = None,
    explain: Callable[[BaseException], str] = lambda error: "",
) -> Iterator[tuple[str, str]]:
    """Yield each check's name and why it failed (empty if it passed).

    An error inside the subject counts as a failure of the check that ran it.  The first check that meets an error gives
    its type, text, file and line; later ones refer to the first.

    Parameters
    ----------
    checks, subject
        The checks and what they are about.
    path
        The file of the subject, whose line is given; None for the line that raised.
    explain
        Returns a sentence with the remedy for an error inside the subject; empty if it knows none.
    """
    seen: dict[str, str] = {}
    for check in checks:
        try:
            check(subject)
        except AduError as error:
            reason = str(error)
        except (Exception, SystemExit) as error:
            LOG.debug("%s", check.__name__, exc_info=error)
            reason = " ".join(filter(None, [located(error, path), explain(error)]))
        else:
            reason = ""
        name = check.__name__
        first = seen.setdefault(reason, name) if reason else name
        yield name, reason if first == name else f"the same as in '{first.replace('_', ' ')}'"


def located(error: BaseException, path: Path | None) -> str:
    """Return an error's type, text, file and line; the last line in ``path`` if the error passed through that file."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path is not None and Path(frame.filename) == path] or frames
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{where}."
