"""Random seeds that depend on names alone, so that every method meets the same draw."""

from __future__ import annotations

import hashlib


def derive(seed: int, *names: str) -> int:
    """Derive an independent 63-bit seed from a base seed and the names of what it is for.

    The method's name must not be among ``names`` where methods have to be compared on the same draw.
    """
    text = "\x1f".join([str(seed), *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
