"""The one error of this package: something submitted is not what it should be."""

from __future__ import annotations

from adu_bench.core.errors import UserError


class Refused(UserError):
    """A submission, or a part of it, that is not accepted.

    Parameters
    ----------
    reason
        One sentence without a full stop; strangers' texts in it are shortened and printable.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The submission is refused: {reason}.",
            "What is submitted is read as if a stranger had written it.",
            "Make it again from the runs: adu-bench submit METHOD --suite SUITE --out B.zip",
        )


def shown(text: object, most: int = 60) -> str:
    """Return a stranger's text as it may be printed: in quotes, escaped, and short."""
    plain = str(text)[: most + 1].encode("unicode_escape").decode("ascii")
    return f"'{plain}'" if len(plain) <= most else f"'{plain[:most]}...'"
