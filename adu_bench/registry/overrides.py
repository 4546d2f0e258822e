"""Parse method choices as users write them, for example ``adu[gamma=10,instapg=no]``."""

from __future__ import annotations

import ast
import re

from adu_bench.core.errors import UserError, unknown
from adu_bench.core.specs import Value
from adu_bench.registry.manifest import Field

_TRUE, _FALSE = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


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


def parse_value(method: str, fields: dict[str, Field], name: str, text: str) -> Value:
    """Turn an override into a value of the field's type.

    Raises
    ------
    UserError
        If there is no such field, or the text is not a value of its type.
    """
    if name not in fields:
        raise unknown(f"field of {method}", name, fields)
    kind = fields[name].kind
    try:
        return _convert(kind, text)
    except ValueError as error:
        raise UserError(
            f"'{text}' is not a valid value for {name} of {method}.",
            f"It is a {kind}; its default is {fields[name].default!r}.",
            f"For example {method}[{name}={format_value(fields[name].default)}].",
        ) from error


def format_value(value: Value) -> str:
    """Format a value as in an override."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value).replace(" ", "") if isinstance(value, tuple) else str(value)


def _convert(kind: str, text: str) -> Value:
    lowered = text.lower()
    if kind == "bool":
        if lowered in _TRUE:
            return True
        if lowered in _FALSE:
            return False
        raise ValueError(text)
    if kind == "int":
        return int(text)
    if kind == "float":
        value = float(text)
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(text)
        return value
    if kind == "str":
        return text
    if kind.startswith("Literal["):
        choices = ast.literal_eval(kind.removeprefix("Literal"))
        for choice in choices:
            if str(choice) == text:
                return choice
        raise ValueError(text)
    if kind.startswith("tuple["):
        return _tuple(kind, text)
    raise ValueError(text)


def _tuple(kind: str, text: str) -> tuple[Value, ...]:
    try:
        value = ast.literal_eval(text)
    except SyntaxError as error:
        raise ValueError(text) from error
    if not fits(kind, value):
        raise ValueError(text)
    return value


def fits(kind: str, value: Value) -> bool:
    """Return whether a value fits a field of a type; whole numbers fit ``float``.

    An unknown type, for example a union, accepts every value.
    """
    if kind.startswith("Literal["):
        choices = ast.literal_eval(kind.removeprefix("Literal"))
        return value in choices
    if kind.startswith("tuple["):
        return isinstance(value, tuple) and _items_fit(kind, value)
    if kind in ("int", "float"):
        return isinstance(value, int if kind == "int" else int | float) and not isinstance(value, bool)
    return isinstance(value, {"bool": bool, "str": str}.get(kind, object))


def _items_fit(kind: str, values: tuple[Value, ...]) -> bool:
    inside = ast.parse(kind, mode="eval").body.slice  # type: ignore[attr-defined]
    kinds = [ast.unparse(item) for item in (inside.elts if isinstance(inside, ast.Tuple) else [inside])]
    if kinds[-1] == "...":
        kinds = kinds[:1] * len(values)
    return len(kinds) == len(values) and all(map(fits, kinds, values))


def _malformed(text: str) -> UserError:
    return UserError(
        f"'{text}' is not a choice of methods.",
        "A choice is a group, or a name with optional fields in brackets.",
        'For example --methods "adu[gamma=10],baseline".',
    )
