"""Read YAML that a stranger may have written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from adu_bench.core.files import read_text

_UNUSABLE = re.compile(r"[\0\ud800-\udfff]")
"""What escapes such as backslash-0 can write, and no path, table or output can hold."""


class _WithoutAliases(yaml.SafeLoader):
    """Refuses aliases, with which a file of a few lines can mean billions of values, and values that cannot be used.

    A key that is there twice is refused as well: the last value would count, unseen.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("It has an alias (*name); write the value again")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = self.construct_object(key)  # 1 and 0x1 are the same key
                if name in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"The key '{key.value}' is there twice", problem_mark=key.start_mark
                    )
                seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        value = super().construct_object(node, deep)
        if isinstance(value, str) and _UNUSABLE.search(value):
            raise yaml.constructor.ConstructorError(
                problem="A text has NUL or half of a character", problem_mark=node.start_mark
            )
        if isinstance(value, int) and value.bit_length() > 10_000:  # Python does not print it
            raise yaml.constructor.ConstructorError(
                problem="A number has thousands of digits", problem_mark=node.start_mark
            )
        return value


def read_yaml(path: Path) -> tuple[Any, dict[str, int]]:
    """Return the values of a file, and the line of each entry of the top level, counted from 1.

    Raises
    ------
    OSError
        If it cannot be read, is not a regular file, or is too large.
    ValueError
        If it is not YAML or not UTF-8, or has a key twice; the text says why, and ``line`` where, if that is known.
    """
    try:
        text = read_text(path)
        loader = _WithoutAliases(text)
        node = loader.get_single_node()
        values = loader.construct_document(node) if node is not None else None
    except UnicodeDecodeError as error:
        raise Malformed("It is not text in UTF-8") from error
    except RecursionError as error:
        raise Malformed("It is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:
        # PyYAML lets ValueError through from dates such as 2001-99-99.
        mark = getattr(error, "problem_mark", None)
        why = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise Malformed(why, mark.line + 1 if mark else None) from error
    entries = node.value if isinstance(node, yaml.MappingNode) else ()
    return values, {str(key.value): key.start_mark.line + 1 for key, _ in entries}


class Malformed(ValueError):
    """A file is not YAML; the text is ``why``, with the line where it is known."""

    def __init__(self, why: str, line: int | None = None) -> None:
        super().__init__(f"{why} (line {line})" if line else why)
        self.why, self.line = why, line
