"""One hyper-parameter of a method: its type, its default and the values that it may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adu_bench.core.errors import UserError
from adu_bench.core.specs import Value
from adu_bench.registry.bounds import Bounds
from adu_bench.registry.field_types import FieldType


@dataclass(frozen=True)
class Field:
    """A hyper-parameter.

    Parameters
    ----------
    name
        Its name.
    kind
        The type as written, for people: ``float``, ``Literal['a', 'b']`` ...
    type
        The type.
    default, help
        The default, and the sentence below the field.
    bounds
        The numbers that it may take; None if the method declares none.
    """

    name: str
    kind: str
    type: FieldType
    default: Value
    help: str
    bounds: Bounds | None = None

    @property
    def allowed(self) -> str:
        """The type and the bounds, for people."""
        return f"{self.kind}, {self.bounds.text}" if self.bounds is not None else self.kind

    def convert(self, value: Any) -> Value:
        """Return a value from YAML or Python as `FieldType.convert` does, within the bounds.

        Raises
        ------
        ValueError
            If the value is not of the type or out of bounds.
        """
        return self._bounded(self.type.convert(value))

    def parse(self, text: str) -> Value:
        """Return the value that a text of the command line stands for; errors as in `convert`."""
        return self._bounded(self.type.parse(text))

    def refusal(self, method: str, value: Any, remedy: str) -> UserError:
        """Return the error for a value that the field does not take."""
        return UserError(
            f"'{format_value(value)}' is not a valid value for the field '{self.name}' of {method}.",
            f"Allowed values: {self.allowed}; the default is {format_value(self.default)}.",
            remedy,
        )

    def _bounded(self, value: Value) -> Value:
        if self.bounds is not None and not self.bounds.allow(value):
            raise ValueError(f"{value!r} is not {self.bounds.text}")
        return value


def format_value(value: Any) -> str:
    """Format a value as in an override: ``yes``, ``none``, ``(1,2)``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value).replace(" ", "") if isinstance(value, tuple) else str(value)
