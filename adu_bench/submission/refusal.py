"""The error of this package: a submission that is not accepted."""

from __future__ import annotations

from adu_bench.core.errors import UserError


class Refused(UserError):
    """A submission, or a part of it, that is not accepted.

    Parameters
    ----------
    reason
        One sentence without a full stop; quoted parts of the submission are shortened and printable.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The submission is refused: {reason}.",
            "A submission must be exactly what adu-bench submit writes.",
            "Make it again from the runs: adu-bench submit METHOD --suite SUITE --out B.zip",
        )


def shown(text: object, most: int = 60) -> str:
    """Return untrusted text for printing: in quotes, escaped, at most ``most`` characters."""
    plain = str(text)[: most + 1].encode("unicode_escape").decode("ascii")
    return f"'{plain}'" if len(plain) <= most else f"'{plain[:most]}...'"
