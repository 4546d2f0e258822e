"""Stable digests of values and files; they name runs, data and weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

KEY_LENGTH = 20


def canonical_json(value: Any) -> str:
    """Serialise ``value`` so that equal values give equal text: sorted keys, no spaces, no NaN.

    Raises
    ------
    ValueError
        If ``value`` holds NaN or an infinity, which JSON cannot carry between programs.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Return the first 20 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    return text_digest(canonical_json(value))


def text_digest(text: str) -> str:
    """Return the first 20 hexadecimal digits of the SHA-256 of ``text`` in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
