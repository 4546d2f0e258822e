"""The file of a method's class that exists in memory: its module, or a file written from a notebook's cells."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import linecache
import symtable
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from adu_bench.core.errors import UserError
from adu_bench.core.files import write_text
from adu_bench.registry.local import LIBRARIES, PROJECT

_MAIN = "__main__"
_STANDARD = tuple(Path(sysconfig.get_paths()[name]).resolve() for name in ("stdlib", "platstdlib"))


def method_file(kind: type, folder: Path) -> Path:
    """Return the file that defines a method's class.

    A class of an imported module is in that module's file.  A class of a notebook or a script is written to a file of
    its own, together with the imports, constants, functions and classes of the notebook that it uses, so that its key
    covers all of them and a worker process can load it.

    Parameters
    ----------
    kind
        The class.
    folder
        Where files of classes without a module are written, as ``CLASS.py``; an earlier file is replaced.

    Raises
    ------
    UserError
        If the source cannot be read, or uses an object that cannot be written down.
    """
    if kind.__module__ != _MAIN:
        module = sys.modules.get(kind.__module__)
        path = getattr(module, "__file__", None)
        if path is None or not Path(path).is_file():
            raise _refused(kind, "Its module has no file, so its source cannot be part of a run's key")
        if "." in kind.__qualname__:
            raise _refused(kind, "It is defined inside a function or another class")
        return Path(path)
    path = folder / f"{kind.__name__}.py"
    text = _Writer(kind).text()
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path


class _Writer:
    """Collects what a class of a notebook needs, in an order in which it can be executed."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.names = vars(sys.modules[_MAIN])
        self.imports: dict[str, str] = {}
        self.constants: dict[str, str] = {}
        self.definitions: dict[str, str] = {}

    def text(self) -> str:
        """Return the text of the file."""
        self._define(self.kind.__name__, self.kind)
        parts = ["from __future__ import annotations\n"]
        parts += ["".join(f"{self.imports[name]}\n" for name in sorted(self.imports))] * bool(self.imports)
        parts += ["".join(f"{name} = {self.constants[name]}\n" for name in self.constants)] * bool(self.constants)
        return "\n".join(parts) + "".join(f"\n\n{text}\n" for text in self.definitions.values() if text)

    def _define(self, name: str, value: Any) -> None:
        """Add a function or class after all that it uses."""
        if value.__qualname__ != value.__name__:
            raise _refused(self.kind, f"It uses {name}, which is not defined at the top level of the notebook")
        if value.__name__ != name:
            raise _refused(self.kind, f"It uses {value.__name__} under another name, {name}")
        source = _source(value)
        if source is None:
            raise _refused(self.kind, f"The source of {name} cannot be read, so it cannot be part of a run's key")
        self.definitions[name] = ""
        for used in sorted(_globals_of(source)):
            if used in self.names and used not in self.definitions:
                self._add(used, self.names[used])
        # Added again at the end: what it uses stands before it.
        del self.definitions[name]
        self.definitions[name] = source

    def _add(self, name: str, value: Any) -> None:
        own = isinstance(value, type | FunctionType) and value.__module__ == _MAIN
        if isinstance(value, ModuleType):
            self._require_library(name, value.__name__)
            self.imports[name] = f"import {value.__name__} as {name}" if value.__name__ != name else f"import {name}"
        elif own:
            self._define(name, value)
        elif (found := _importable(value)) is not None:
            module, inner = found
            self._require_library(name, module)
            self.imports[name] = f"from {module} import {inner}" + (f" as {name}" if inner != name else "")
        elif _is_literal(value):
            self.constants[name] = repr(value)
        elif getattr(builtins, name, None) is not value:
            what = f"an object of type {type(value).__name__}"
            raise _refused(self.kind, f"It uses {name}, {what} of the notebook that cannot be written to a file")

    def _require_library(self, name: str, module: str) -> None:
        path = getattr(sys.modules.get(module), "__file__", None)
        if path is None or module.partition(".")[0] == PROJECT:
            return
        place = Path(path).resolve()
        if LIBRARIES.isdisjoint(place.parts) and not any(place.is_relative_to(folder) for folder in _STANDARD):
            raise _refused(self.kind, f"It uses {name} of your module {module}, which would not be part of the key")


def _source(value: type | FunctionType) -> str | None:
    """Return the source of a top-level function or class, with its decorators; None where it cannot be read."""
    for text in _texts(value):
        try:
            body = ast.parse(text).body
        except SyntaxError:
            continue
        kinds = ast.ClassDef if isinstance(value, type) else ast.FunctionDef
        found = [node for node in body if isinstance(node, kinds) and node.name == value.__name__]
        if found:
            first = min([found[-1].lineno, *(item.lineno for item in found[-1].decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : found[-1].end_lineno])
    return None


def _texts(value: type | FunctionType) -> Iterator[str]:
    """Yield the texts that may define a function or class: cells and scripts, the likeliest first."""
    functions = [value] if isinstance(value, FunctionType) else filter(inspect.isfunction, vars(value).values())
    files = dict.fromkeys(function.__code__.co_filename for function in functions)
    main = getattr(sys.modules[_MAIN], "__file__", None)
    # A class without functions does not say where it was defined: the last cell that defines it counts.
    cells = [name for name in reversed(linecache.cache) if isinstance(name, str) and not Path(name).is_file()]
    for name in [*files, *([main] if main else []), *([] if files else cells)]:
        text = "".join(linecache.getlines(name))
        if text:
            yield text


def _globals_of(source: str) -> set[str]:
    """Return the names that a definition takes from its module."""
    top = symtable.symtable(f"from __future__ import annotations\n{source}", "<method>", "exec")
    found = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    # Dataclasses and the registry read annotations, which are texts here.
    found |= {
        node.id
        for item in ast.walk(ast.parse(source))
        if isinstance(item, ast.AnnAssign | ast.arg | ast.FunctionDef)
        for part in (getattr(item, "annotation", None), getattr(item, "returns", None))
        if part is not None
        for node in ast.walk(part)
        if isinstance(node, ast.Name)
    }
    waiting = top.get_children()
    while waiting:
        table = waiting.pop()
        found |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced()}
        waiting += table.get_children()
    return found


def _importable(value: Any) -> tuple[str, str] | None:
    """Return module and name under which an object can be imported; None if there are none."""
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or getattr(value, "_name", None)
    if not isinstance(module, str) or not isinstance(name, str) or "." in name or module == _MAIN:
        return None
    # What a method's author imports is named in `adu_bench.api`; other modules of the project are not for methods.
    places = [f"{PROJECT}.api", module] if module.partition(".")[0] == PROJECT else [module]
    for place in places:
        if getattr(importlib.import_module(place), name, None) is value:
            return place, name
    return None


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _refused(kind: type, why: str) -> UserError:
    return UserError(
        f"The class {kind.__name__} cannot be run as a method.",
        f"{why}.",
        "Define it and what it uses at the top level of a cell, give it values as fields, or write it to a file and "
        "name it with extra=.",
    )
