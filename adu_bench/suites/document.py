"""A YAML mapping whose entries know their lines, so that an error in a suite can be pointed at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from adu_bench.core.errors import UserError, unknown

_MISSING = object()


class Document:
    """Entries of a YAML mapping, taken one by one; what is left at the end is unknown."""

    def __init__(self, path: Path, values: dict[str, Any], lines: dict[str, int]) -> None:
        self.path, self.values, self.lines = path, values, lines
        self.taken: set[str] = set()

    @staticmethod
    def read(path: Path, below: Document | None = None) -> Document:
        """Read a file; entries of ``below`` replace those of the file (a suite that extends another).

        Raises
        ------
        UserError
            If the file cannot be read or is not a YAML mapping.
        """
        try:
            text = path.read_text(encoding="utf-8")
            node, values = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
        except UnicodeDecodeError as error:
            raise UserError(
                f"'{path}' is not a valid suite file.", "It is not text in UTF-8.", "See `adu-bench show emoji-mini`."
            ) from error
        except OSError as error:
            raise UserError(f"'{path}' cannot be read.", f"{error.strerror}.", "Check the path.") from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"line {mark.line + 1}" if mark else "unknown line"
            raise UserError(
                f"'{path}' is malformed, {where}.", f"{getattr(error, 'problem', error)}.", "Mend the YAML there."
            ) from error
        if not isinstance(values, dict) or not isinstance(node, yaml.MappingNode):
            raise UserError(
                f"'{path}' is not a valid suite file.", "It is not a mapping.", "See `adu-bench show emoji-mini`."
            )
        lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
        document = Document(path, values, lines)
        if below is not None:
            document.values |= {key: value for key, value in below.values.items() if key != "extends"}
            document.lines |= below.lines
            document.path = below.path
        return document

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = _MISSING) -> Any:
        """Return an entry of a kind, or the default where there is none.

        Raises
        ------
        UserError
            If it is missing without a default, or of another kind.
        """
        self.taken.add(key)
        if key not in self.values:
            if default is _MISSING:
                raise UserError(
                    f"'{self.path}' has no '{key}'.", "A suite needs it.", "See `adu-bench show emoji-mini`."
                )
            return default
        value = self.values[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(one.__name__ for one in kinds)
            raise self.problem(key, f"{value!r} is not a {wanted}", f"Give a {wanted}.")
        return value

    def take_list(self, key: str, kind: type, default: list | None = None) -> list:
        """Return a non-empty list whose items are of one kind; errors as in `take`."""
        values = self.take(key, list, _MISSING if default is None else default)
        # Python counts true and false among the whole numbers; a suite does not.
        if not values or not all(isinstance(value, kind) and not isinstance(value, bool) for value in values):
            raise self.problem(key, f"it must be a list of {kind.__name__}", f"For example {key}: [1, 2, 3].")
        return values

    def problem(self, key: str, why: str, remedy: str) -> UserError:
        """Build the error for an entry: file and line, why it is refused, and the remedy."""
        return UserError(
            f"'{self.path}', line {self.lines.get(key, 1)}: '{key}' is wrong.", f"{why[0].upper()}{why[1:]}.", remedy
        )

    def finish(self) -> None:
        """Refuse entries that nobody asked for.

        Raises
        ------
        UserError
            If there is one; names the nearest known entries.
        """
        for key in self.values:
            if key not in self.taken:
                near = unknown("entry", str(key), self.taken)
                raise self.problem(str(key), "there is no such entry", near.remedy)
