"""The errors that users see: what happened, why, and what to do about it."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

_FEW = 12
"""Most names that an error lists although some of them are near."""


class AduError(Exception):
    """Base of every error that adu-bench raises on purpose."""


class UserError(AduError):
    """Bad input: what happened, why, and the remedy, one sentence each; the command line prints them and exits with 2.

    Parameters
    ----------
    what, why, remedy
        One sentence each.  ``remedy`` names the command, option or file that solves the problem.
    """

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(what, why, remedy)
        self.what, self.why, self.remedy = what, why, remedy

    @property
    def sentences(self) -> tuple[str, str, str]:
        """The three sentences for people: one line each, and not endless where they quote a file."""
        return _short(self.what), _short(self.why), _short(self.remedy)

    def __str__(self) -> str:
        return f"{self.what} {self.why} {self.remedy}"


def _short(text: str, most: int = 1200) -> str:
    text = text.replace("\n", " ")
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


class RunFailed(AduError):
    """A run that produced no result: divergence, a timeout or an error inside a method; never counted as done."""


class Diverged(RunFailed):
    """The training loss or the logits became NaN or infinite."""


def no_locks(what: str, error: Exception, option: str) -> UserError:
    """Build the error for a folder in which a file cannot be locked, as on some network file systems.

    Parameters
    ----------
    what
        What should have been locked, as the subject of a sentence.
    error
        What the system said.
    option
        The option or variable that names another folder.
    """
    return UserError(
        f"{what} cannot be locked, which keeps two processes from the same work.",
        f"{_no_service(error) or getattr(error, 'strerror', None) or error}.",
        f"Choose a folder on a file system with locks: {option}",
    )


def _no_service(error: Exception) -> str:
    if getattr(error, "errno", None) != errno.ENOLCK:
        return ""
    return "Its file system has no lock service (ENOLCK), as on NFS without lockd"


def unknown(kind: str, name: str, known: Iterable[str], remedy: str | None = None) -> UserError:
    """Build the error for a name that does not exist, with the nearest known names.

    Parameters
    ----------
    kind
        What the name should have been, for example ``"method"``.
    name
        The name as the user wrote it.
    known
        The names that exist.
    remedy
        Replaces the default remedy: the nearest names, and all of them if there are few or none is near.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if remedy is None:
        sentences = [f"Did you mean {' or '.join(near)}?"] if near else []
        # The nearest of a few names can be far from what was meant.
        if not near or len(names) <= _FEW:
            sentences.append(f"Choose from: {', '.join(names)}.")
        remedy = " ".join(sentences)
    return UserError(f"There is no {kind} called '{name}'.", f"{len(names)} are known.", remedy)
