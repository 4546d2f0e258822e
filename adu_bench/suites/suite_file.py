"""The YAML file of a suite: its entries are read with their line numbers, so that an error can point at the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adu_bench.core.errors import UserError, unknown
from adu_bench.core.yaml_files import Malformed, read_yaml

_MISSING = object()
_EXAMPLE = "See an example: adu-bench show emoji-mini"
_KINDS = {int: "an integer", str: "text", list: "a list", dict: "a mapping"}
"""Types of entries as messages name them."""


class SuiteFile:
    """The entries of a suite's file, which are taken one by one; those that remain at the end are unknown.

    Parameters
    ----------
    path
        The file.
    values
        Its entries by name.
    lines
        The line of each entry, counted from 1.
    """

    def __init__(self, path: Path, values: dict[str, Any], lines: dict[str, int]) -> None:
        self.path, self.values, self.lines = path, values, lines
        self.taken: set[str] = set()

    @staticmethod
    def read(path: Path, below: SuiteFile | None = None) -> SuiteFile:
        """Read a file; entries of ``below``, a suite that extends it, replace those of the file.

        Raises
        ------
        UserError
            If the file cannot be read or is not a YAML mapping.
        """
        try:
            values, lines = read_yaml(path)
        except OSError as error:
            raise UserError(f"'{path}' cannot be read.", f"{error.strerror}.", "Check the path.") from error
        except Malformed as error:
            where = f", line {error.line}" if error.line else ""
            why = error.why
            raise UserError(f"'{path}' is malformed{where}.", f"{why[0].upper()}{why[1:]}.", _EXAMPLE) from error
        if not isinstance(values, dict):
            raise UserError(f"'{path}' is not a valid suite file.", "It is not a YAML mapping.", _EXAMPLE)
        file = SuiteFile(path, values, lines)
        if below is not None:
            file.values |= {key: value for key, value in below.values.items() if key != "extends"}
            file.lines |= below.lines
            file.path = below.path
        return file

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = _MISSING) -> Any:
        """Return an entry, or the default if there is none.

        Raises
        ------
        UserError
            If the entry is missing and has no default, or is not of the kind.
        """
        self.taken.add(key)
        if key not in self.values:
            if default is _MISSING:
                raise UserError(f"'{self.path}' has no '{key}'.", "Every suite needs it.", _EXAMPLE)
            return default
        value = self.values[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(_KINDS[one] for one in kinds)
            raise self.problem(key, f"{value!r} is not {wanted}", f"Give {wanted}.")
        return value

    def take_list(self, key: str, kind: type, default: list | None = None) -> list:
        """Return a non-empty list whose items are of one kind; errors as in `take`."""
        values = self.take(key, list, _MISSING if default is None else default)
        # In Python true and false are integers; in a suite they are not.
        if not values or not all(isinstance(value, kind) and not isinstance(value, bool) for value in values):
            example = "[1, 2, 3]" if kind is int else "[one, two]"
            raise self.problem(
                key, f"it must be a list, and each item {_KINDS[kind]}", f"For example {key}: {example}."
            )
        return values

    def problem(self, key: str, why: str, remedy: str) -> UserError:
        """Return the error for an entry: file and line, why it is refused, and the remedy."""
        return UserError(
            f"'{self.path}', line {self.lines.get(key, 1)}: '{key}' is wrong.", f"{why[0].upper()}{why[1:]}.", remedy
        )

    def finish(self) -> None:
        """Refuse entries that were not taken.

        Raises
        ------
        UserError
            If there is one; the message suggests similar names.
        """
        for key in self.values:
            if key not in self.taken:
                near = unknown("entry", str(key), self.taken)
                raise self.problem(str(key), "there is no such entry", near.remedy)
