"""Split method choices as users write them, for example ``adu[gamma=10,instapg=no]``."""

from __future__ import annotations

import re

from adu_bench.core.errors import UserError


def split_choices(text: str) -> list[str]:
    """Split ``a,b[x=1,y=2],c`` at the commas outside brackets.

    Raises
    ------
    UserError
        If brackets do not match.
    """
    parts, depth, current = [], 0, ""
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if depth not in (0, 1):
            raise _malformed(text)
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    if depth:
        raise _malformed(text)
    return [part.strip() for part in [*parts, current] if part.strip()]


def split_overrides(choice: str) -> tuple[str, dict[str, str]]:
    """Split ``name[field=value,...]`` into the name and the values as written.

    Raises
    ------
    UserError
        If it is not of that form.
    """
    match = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[(.*)\])?", choice)
    if match is None:
        raise _malformed(choice)
    name, inside = match.groups()
    overrides: dict[str, str] = {}
    # A comma inside a tuple's parentheses does not end the value.
    for part in re.split(r",(?![^(]*\))", inside or ""):
        field, equals, value = part.partition("=")
        if part.strip() and (not equals or not value.strip()):
            raise _malformed(choice)
        if part.strip():
            overrides[field.strip()] = value.strip()
    return name, overrides


def _malformed(text: str) -> UserError:
    return UserError(
        f"'{text}' is not a choice of methods.",
        "A choice is a group, or a name with optional fields in brackets.",
        'For example --methods "adu[gamma=10],baseline".',
    )
