"""Types and bounds of fields, read from annotations and literals."""

from __future__ import annotations

import ast

import pytest

from adu_bench.registry.bounds import Bounds
from adu_bench.registry.field_types import read_type
from adu_bench.registry.fields import format_value


def kind(annotation: str):
    return read_type(ast.parse(annotation, mode="eval").body)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("int", "-3", -3),
        ("float", "1e-3", 0.001),
        ("bool", "off", False),
        ("str", "none", "none"),
        ("int | None", "4", 4),
        ("int | None", "none", None),
        ("int | None", "Null", None),
        ("None | float", "none", None),
        ("float | None", "4", 4.0),
        ("Optional[int]", "none", None),
        ("typing.Optional[float]", "2", 2.0),
        ("Union[int, float, None]", "2.5", 2.5),
        ("Union[int, float, None]", "2", 2),
        ("'int | None'", "none", None),
        ("bool | None", "yes", True),
        ("str | None", "none", None),
        ("str | None", "some", "some"),
        ("str | int", "3", 3),
        ("Literal['a', 'b'] | None", "b", "b"),
        ("Literal['a', 'b'] | None", "none", None),
        ("Literal['a', None]", "none", None),
        ("Literal[1, 2]", "2", 2),
        ("tuple[int, ...] | None", "none", None),
        ("tuple[int, ...] | None", "(1, 2)", (1, 2)),
        ("tuple[float | None, str]", "(None, 'x')", (None, "x")),
    ],
)
def test_texts_become_values(annotation, text, value):
    found = kind(annotation).parse(text)
    assert (found, type(found)) == (value, type(value))
    # A label of the command line is read again, for example that of a committed row.
    assert kind(annotation).parse(format_value(found)) == value


@pytest.mark.parametrize(
    ("annotation", "given", "value"),
    [
        ("float", 10, 10.0),
        ("float", "1e-3", 0.001),
        ("int | None", None, None),
        ("int | None", "none", None),
        ("float | None", 2, 2.0),
        ("Literal['a'] | None", None, None),
        ("str | None", "null", None),
        ("tuple[float, ...]", [1, 2], (1.0, 2.0)),
        ("tuple[tuple[int, int], str]", [[1, 2], "x"], ((1, 2), "x")),
    ],
)
def test_values_of_yaml_are_converted_so_that_equal_settings_give_equal_keys(annotation, given, value):
    found = kind(annotation).convert(given)
    assert (repr(found), type(found)) == (repr(value), type(value))


@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        ("int", 2.0),
        ("int", True),
        ("int", None),
        ("int", "2"),
        ("float", float("nan")),
        ("float", float("-inf")),
        ("float", "nan"),
        ("float", 10**400),
        ("float", "none"),
        ("bool", 1),
        ("str", 1),
        ("int | None", "some"),
        ("float | None", float("nan")),
        ("Literal[1, 2]", True),
        ("Literal['a'] | None", "b"),
        ("tuple[int, int]", [1]),
        ("tuple[int, ...]", [1, 2.5]),
        ("tuple[float, ...]", [float("inf")]),
        ("tuple[int, ...]", 3),
    ],
)
def test_other_values_are_refused(annotation, given):
    with pytest.raises(ValueError, match=r"."):
        kind(annotation).convert(given)


@pytest.mark.parametrize(
    "annotation",
    ["dict", "list[int]", "None", "object | None", "Any", "Literal['none'] | None", "set[int] | None", "complex"],
)
def test_other_types_are_refused(annotation):
    with pytest.raises(ValueError, match=r"is not bool|has no value but None|stands for None as well"):
        kind(annotation)


@pytest.mark.parametrize(
    ("annotation", "numeric"),
    [
        ("int", True),
        ("float | None", True),
        ("tuple[int, ...]", True),
        ("bool", False),
        ("str | None", False),
        ("Literal[1, 2]", False),
        ("tuple[str, bool]", False),
    ],
)
def test_which_types_are_numbers(annotation, numeric):
    assert kind(annotation).numeric is numeric


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">= 1", (1, 7.5), (0, -5, 0.99)),
        ("> 0", (1e-9, 3), (0, 0.0, -1)),
        ("> 0, <= 1", (0.5, 1), (0, 1.01, 5)),
        (">=-1,<1e-3", (-1, 0), (0.001, -1.1)),
        ("< 4", (3,), (4,)),
    ],
)
def test_bounds_are_as_written(text, inside, outside):
    bounds = Bounds.read(text)
    assert all(map(bounds.allow, inside))
    assert not any(map(bounds.allow, outside))
    assert bounds.allow(None)
    assert bounds.allow("text")
    assert bounds.allow(inside)
    assert not bounds.allow((*inside, *outside))


@pytest.mark.parametrize(
    "declared", ["", "1", "> one", "=> 1", "> 0, > 1", "<= 1, > 0", "> 2, < 1", "> 1, <= 1", (1, None), None, "> nan"]
)
def test_other_bounds_are_refused(declared):
    with pytest.raises(ValueError, match=r"is not of the form|no number is"):
        Bounds.read(declared)
