"""Files that can be made again: a SHA-256 (32 bytes) in front tells whether they are whole, and what they are of."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from adu_bench.core.files import replacing

_LENGTH = 32


def write_sealed(path: Path, body: bytes, of: str = "") -> None:
    """Write a file that `read_sealed` checks, in place of the one of before.

    Parameters
    ----------
    path
        The file.
    body
        The content.
    of
        What the content was made from, by any name; the digest covers it, and it is not stored.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(_digest(body, of) + body)


def read_sealed(path: Path, of: str = "") -> memoryview:
    """Return the content of a file that `write_sealed` wrote.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, or made from something else.
    """
    content = memoryview(path.read_bytes())
    body = content[_LENGTH:]
    if _digest(body, of) != content[:_LENGTH]:
        raise ValueError(f"{path} is damaged, or not of what is wanted.")
    return body


def _digest(body: bytes | memoryview, of: str) -> bytes:
    found = sha256(of.encode())
    found.update(body)
    return found.digest()
