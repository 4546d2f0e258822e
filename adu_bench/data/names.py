"""Names of classes and domains: one spelling for each, and no two that a reader takes for one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_ACCENTS = re.compile("[\u0300-\u036f]")
_JOINERS = re.compile("[\\s_\u2010-\u2015-]+")


def nfc(name: str) -> str:
    """Return a name in Unicode's composed form, without spaces at its ends: file systems differ in the form."""
    return unicodedata.normalize("NFC", name).strip()


def comparable(name: str) -> str:
    """Return what two names share if they differ in case, accents, or in spaces, underscores and hyphens only."""
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", name)).casefold()
    return _JOINERS.sub(" ", unicodedata.normalize("NFKC", bare)).strip()


def look_alike(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two different names that are `comparable`; None where there are no such names."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(comparable(name), name)
        if first != name:
            return first, name
    return None
