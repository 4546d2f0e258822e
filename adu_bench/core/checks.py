"""Checks of a contract: functions that raise, and what they say of a subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from adu_bench.core.errors import AduError

Subject = TypeVar("Subject")


class CheckFailed(AduError):
    """A method or an audit breaks its contract; the message says where, and how to fix it."""


def run_all(checks: Iterable[Callable[[Subject], None]], subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield each check's name and why it failed (empty if it passed).

    An error inside the subject counts as a failure of the check that ran it.
    """
    for check in checks:
        try:
            check(subject)
        except Exception as error:
            reason = str(error) or type(error).__name__
        else:
            reason = ""
        yield check.__name__, reason
