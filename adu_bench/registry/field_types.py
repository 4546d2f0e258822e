"""The types of hyper-parameters, read from annotations as text: ``float``, ``int | None``, ``Literal['a', 'b']`` ..."""

from __future__ import annotations

import ast
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from adu_bench.core.specs import Value

_TRUE, _FALSE = ("yes", "true", "on", "1"), ("no", "false", "off", "0")
_NONE = ("none", "null")
"""How text says None; lower or upper case."""


class FieldType(ABC):
    """The type of a field."""

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers, or may contain some; those of a Literal are listed, and do not count."""
        return False

    @abstractmethod
    def convert(self, value: Any) -> Value:
        """Return a value from YAML or Python, so that equal settings give equal keys: 10 becomes 10.0 in a float field.

        YAML reads ``1e-3`` as text, because it has no dot; a float field takes it as the number.

        Raises
        ------
        ValueError
            If the value is not of the type, or not finite.
        """

    @abstractmethod
    def parse(self, text: str) -> Value:
        """Return the value that a text of the command line stands for; errors as in `convert`."""


def read_type(annotation: ast.expr) -> FieldType:
    """Return the type that an annotation stands for.

    Raises
    ------
    ValueError
        If it is none of bool, int, float, str, a Literal, a tuple of these, and unions of them and None; the message
        is the rest of a sentence that begins with the annotation.
    """
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    members = [member for part in _alternatives(annotation) for member in _members(part)]
    plain = [member for member in members if member is not None]
    if not plain:
        raise ValueError("has no value but None")
    if len(members) == 1:
        return plain[0]
    if None in members and any(isinstance(member, _Literal) and member.says_none for member in plain):
        raise ValueError("has a text that stands for None as well")
    # A str takes every text, so it comes last.
    plain.sort(key=lambda member: isinstance(member, _Scalar) and member.kind is str)
    return _Union(tuple(plain), optional=None in members)


@dataclass(frozen=True)
class _Scalar(FieldType):
    kind: type

    @property
    def numeric(self) -> bool:
        return self.kind in (int, float)

    def convert(self, value: Any) -> Value:
        wanted: Any = (int, float, str) if self.kind is float else self.kind
        if not isinstance(value, wanted) or (isinstance(value, bool) and self.kind is not bool):
            raise ValueError(value)
        if self.kind is not float:
            return value
        try:
            number = float(value)
        except OverflowError as error:
            raise ValueError(value) from error
        if not math.isfinite(number):
            raise ValueError(value)
        return number

    def parse(self, text: str) -> Value:
        if self.kind is bool:
            if text.lower() not in _TRUE + _FALSE:
                raise ValueError(text)
            return text.lower() in _TRUE
        return self.convert(self.kind(text))


@dataclass(frozen=True)
class _Literal(FieldType):
    values: tuple[Any, ...]

    @property
    def says_none(self) -> bool:
        return any(_says_none(value) for value in self.values)

    def convert(self, value: Any) -> Value:
        for choice in self.values:
            # In Python True equals 1; as values of a field they differ.
            if type(choice) is type(value) and choice == value:
                return choice
        raise ValueError(value)

    def parse(self, text: str) -> Value:
        for choice in self.values:
            if str(choice) == text:
                return choice
        raise ValueError(text)


@dataclass(frozen=True)
class _Tuple(FieldType):
    items: tuple[FieldType, ...]
    open: bool
    """Whether the only item type stands for any number of items."""

    @property
    def numeric(self) -> bool:
        return any(item.numeric for item in self.items)

    def convert(self, value: Any) -> Value:
        if not isinstance(value, tuple | list):
            raise ValueError(value)
        items = self.items * len(value) if self.open else self.items
        if len(items) != len(value):
            raise ValueError(value)
        return tuple(item.convert(one) for item, one in zip(items, value, strict=True))

    def parse(self, text: str) -> Value:
        try:
            return self.convert(ast.literal_eval(text))
        except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise ValueError(text) from error


@dataclass(frozen=True)
class _Union(FieldType):
    members: tuple[FieldType, ...]
    optional: bool
    """Whether None is allowed, which text and YAML write as ``none`` or ``null``."""

    @property
    def numeric(self) -> bool:
        return any(member.numeric for member in self.members)

    def convert(self, value: Any) -> Value:
        if value is None and self.optional:
            return None
        return self._first("convert", value)

    def parse(self, text: str) -> Value:
        return self._first("parse", text)

    def _first(self, how: str, value: Any) -> Value:
        """Return the value of the first member that takes it."""
        for member in self.members:
            takes_all = isinstance(member, _Scalar) and member.kind is str
            if takes_all and self.optional and _says_none(value):
                break
            try:
                return getattr(member, how)(value)
            except ValueError:
                continue
        if self.optional and _says_none(value):
            return None
        raise ValueError(value)


def _says_none(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in _NONE


def _alternatives(annotation: ast.expr) -> list[ast.expr]:
    """Return the members of ``a | b``, ``Optional[a]`` and ``Union[a, b]``."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return [*_alternatives(annotation.left), *_alternatives(annotation.right)]
    if isinstance(annotation, ast.Subscript):
        inside = _inside(annotation)
        if _name(annotation.value) == "Optional":
            inside = [*inside, ast.Constant(None)]
        if _name(annotation.value) in ("Optional", "Union"):
            return [one for item in inside for one in _alternatives(item)]
    return [annotation]


def _members(part: ast.expr) -> list[FieldType | None]:
    """Return the type of an annotation without alternatives; None for None, which a Literal may also contain."""
    if isinstance(part, ast.Constant) and part.value is None:
        return [None]
    if isinstance(part, ast.Name) and part.id in ("bool", "int", "float", "str"):
        return [_Scalar({"bool": bool, "int": int, "float": float, "str": str}[part.id])]
    if isinstance(part, ast.Subscript) and _name(part.value) == "Literal":
        values = tuple(ast.literal_eval(item) for item in _inside(part))
        if None not in values:
            return [_Literal(values)]
        return [_Literal(tuple(value for value in values if value is not None)), None]
    if isinstance(part, ast.Subscript) and _name(part.value) in ("tuple", "Tuple"):
        items = _inside(part)
        is_open = len(items) == 2 and isinstance(items[1], ast.Constant) and items[1].value is ...
        return [_Tuple(tuple(map(read_type, items[:1] if is_open else items)), is_open)]
    raise ValueError("is not bool, int, float, str, a Literal, a tuple, or one of these or None")


def _inside(annotation: ast.Subscript) -> list[ast.expr]:
    return annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]


def _name(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]
