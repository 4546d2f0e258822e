"""Words that people read, made in one place."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless the number is one."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def size_of(bytes_: float) -> str:
    """Return a number of bytes in the unit that leaves a number of at least one, such as "23 kB" or "1.4 MB"."""
    if bytes_ < 999.5e3:
        return f"{max(1, round(bytes_ / 1e3))} kB"
    return f"{bytes_ / 1e6:,.1f} MB"
