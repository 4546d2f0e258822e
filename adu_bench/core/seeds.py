"""Random seeds that depend only on names, so that every method gets the same random draws."""

from __future__ import annotations

import hashlib


def derive(seed: int, *names: str) -> int:
    """Derive an independent 63-bit seed from a base seed and the names of its purpose.

    The method's name must not be among ``names`` where methods have to be compared on the same draw.
    """
    text = "\x1f".join([str(seed), *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
