"""The code of a method: its file and the local modules that it imports, found by reading the text.

An import is local if the module lies beside the method's file (``from .helper import f``, ``import helper``), or if it
is a shipped method (``from adu_bench._methods.baseline import Baseline``).  Local modules are part of the method's
digest and importable when the method is loaded; a local import that cannot be followed is refused.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

from adu_bench.core.files import SMALL, read_bytes

PROJECT = "adu_bench"
SHIPPED = "adu_bench._methods"
"""The package of the shipped methods: the folder ``methods`` of the repository."""
_SHIPPED = "<shipped>"
"""Its name in the private package of a method in another folder; no folder of a user can have this name."""
_HIDDEN = {"path", "meta_path", "path_hooks"}
"""Attributes of `sys` that change where modules are found."""
_HARMLESS = {"importlib.metadata", "importlib.resources", "importlib.abc"}
LIBRARIES = {"site-packages", "dist-packages"}
"""Folders whose modules are installed libraries, even if a method's file is in the same folder."""
_REMEDY = "put the module beside the method's file and write 'from .module import name'"


@dataclass(frozen=True)
class Module:
    """A module of a method's code.

    Parameters
    ----------
    name
        Dotted name below the method's folder; empty for the method's file itself, whose name does not matter.
    path
        The file.
    source
        Its text as Python decodes it.
    """

    name: str
    path: Path
    source: str
    package: bool = field(default=False, repr=False)
    """Whether it is a folder with modules."""

    @property
    def tree(self) -> ast.Module:
        """The syntax tree of the text, which is shared and must not be changed."""
        return _parsed(self.source, self.path)

    @property
    def imports(self) -> tuple[ast.AST, ...]:
        """The nodes of the tree that import modules, or can do so when the code runs."""
        return _imports(self.source, self.path)


# Catalogues are made often, and many methods import the same helper: each text is parsed and walked once.
@lru_cache(maxsize=256)
def _parsed(source: str, path: Path) -> ast.Module:
    try:
        return ast.parse(source, filename=str(path))
    except SyntaxError as error:
        raise ValueError(f"{path.name}: {error.msg}, line {error.lineno}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError(f"{path.name} has expressions that are nested too deeply") from error


@lru_cache(maxsize=256)
def _imports(source: str, path: Path) -> tuple[ast.AST, ...]:
    return tuple(node for node in ast.walk(_parsed(source, path)) if _can_import(node))


def _can_import(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id == "__import__"
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == "sys"
    return isinstance(node, ast.Import | ast.ImportFrom)


class Follower:
    """Finds the local modules that the files of one method import.

    Parameters
    ----------
    path
        The method's file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = path.absolute().parent

    def modules(self) -> tuple[Module, ...]:
        """Return the method's file and all local modules that it imports, directly or through others, by name.

        Raises
        ------
        ValueError, OSError
            If a file cannot be read or a local import cannot be followed; the message is one sentence without a
            full stop.
        """
        found = {"": Module("", self.path, read_source(self.path))}
        waiting = [found[""]]
        while waiting:
            module = waiting.pop()
            _refuse_hidden_imports(module)
            for node in module.imports:
                for target in self.targets(node, module):
                    parts = target.split(".")
                    for name in (".".join(parts[: end + 1]) for end in range(len(parts))):
                        if name not in found and name != _SHIPPED:
                            found[name] = self._module(name, module, node)
                            waiting.append(found[name])
        return tuple(found[name] for name in sorted(found))

    def targets(self, node: ast.AST, module: Module) -> list[str]:
        """Return the names of the local modules that a statement of a module imports.

        Raises
        ------
        ValueError
            If it imports local code in a way that cannot be followed.
        """
        if isinstance(node, ast.Import):
            names = {alias: self.local(alias.name, module, node) for alias in node.names}
            for alias, name in names.items():
                if name in ("", _SHIPPED):
                    raise _refused(module, node, f"it imports '{alias.name}' as a whole; {_REMEDY}")
                if name is not None and "." in alias.name and alias.asname is None:
                    raise _refused(module, node, f"it imports '{alias.name}'; write 'import {alias.name} as name'")
            return [name for name in names.values() if name is not None]
        if not isinstance(node, ast.ImportFrom):
            return []
        base = self.base(node, module)
        if base is None:
            return []
        if any(alias.name == "*" for alias in node.names):
            raise _refused(module, node, "it imports all names of a local module; name those that it uses")
        inner = {alias.name: ".".join(filter(None, (base, alias.name))) for alias in node.names}
        modules = [name for name in inner.values() if self.find(name) is not None]
        if base not in ("", _SHIPPED):
            return [base, *modules]
        for wanted, name in inner.items():
            if name not in modules:
                raise _refused(module, node, f"there is no module '{wanted}' beside the method's file")
        return modules

    def base(self, node: ast.ImportFrom, module: Module) -> str | None:
        """Return the local module from which a statement takes names; None if it is not local.

        Raises
        ------
        ValueError
            If the statement goes outside the method's folder.
        """
        if not node.level:
            return self.local(str(node.module), module, node)
        parts = module.name.split(".") if module.name else []
        depth = len(parts) - (not module.package) if parts else 0
        up = depth - (node.level - 1)
        if up < (1 if parts[:1] == [_SHIPPED] else 0):
            raise _refused(module, node, f"it imports from outside the method's folder; {_REMEDY}")
        return ".".join([*parts[:up], *([node.module] if node.module else [])])

    def local(self, name: str, module: Module, node: ast.AST) -> str | None:
        """Return the local name of a module that is imported by its full name; None if it is not local.

        Raises
        ------
        ValueError
            If it is not clear which module is meant, or it lies outside the method's folder.
        """
        top, _, rest = name.partition(".")
        if name == SHIPPED or name.startswith(f"{SHIPPED}."):
            inside = name[len(SHIPPED) + 1 :]
            return inside if shipped_folder() == self.home else ".".join(filter(None, (_SHIPPED, inside)))
        if top == PROJECT or not top:
            return None
        package = self._package(top)
        if package is not None:
            place = package.joinpath(*rest.split(".")) if rest else package
            if not place.is_relative_to(self.home):
                raise _refused(module, node, f"'{name}' lies outside the method's folder; {_REMEDY}")
            return ".".join(place.relative_to(self.home).parts)
        beside = self.find(top) if self.home.name not in LIBRARIES else None
        if beside is None or (beside.is_dir() and self.find(name) is None):
            return None
        if top in sys.stdlib_module_names:
            raise _refused(module, node, f"'{top}' is both a module beside the file and one of Python; rename yours")
        return name

    def find(self, name: str) -> Path | None:
        """Return the file (or the folder, where it has no ``__init__.py``) of a local module; None without one."""
        parts = name.split(".")
        root: Path | None = self.home
        if parts[0] == _SHIPPED:
            root, parts = shipped_folder(), parts[1:]
        if root is None:
            return None
        place = root.joinpath(*parts)
        candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py") if parts else ()
        for path in candidates:
            if path.is_file():
                return path
        return place if parts and any(place.glob("*.py")) else None

    def package(self, modules: Sequence[Module]) -> str:
        """Return the importable package that is the method's folder, if modules of it are imported by full names."""
        nodes = (node for module in modules for node in module.imports)
        for top in dict.fromkeys(name.partition(".")[0] for node in nodes for name in _absolute(node)):
            if top != PROJECT and (folder := self._package(top)) is not None:
                return ".".join([top, *self.home.relative_to(folder).parts])
        return ""

    def _package(self, top: str) -> Path | None:
        """Return the folder of an importable package that the method's file is in."""
        if top not in {folder.name for folder in (self.home, *self.home.parents)}:
            return None
        spec = importlib.util.find_spec(top)
        for folder in (spec.submodule_search_locations or []) if spec is not None else []:
            if self.home.is_relative_to(Path(folder).absolute()):
                return Path(folder).absolute()
        return None

    def _module(self, name: str, importer: Module, node: ast.AST) -> Module:
        path = self.find(name)
        if path is None:
            raise _refused(importer, node, f"there is no module '{name}' beside the method's file")
        if path.absolute() == self.path.absolute():
            raise _refused(importer, node, "it imports the method's file; move what both need to a third module")
        if path.is_dir():
            return Module(name, path, "", package=True)
        return Module(name, path, read_source(path), package=path.name == "__init__.py")


def runnable(module: Module, follower: Follower) -> ast.Module:
    """Return a module's syntax tree in which local imports by full name are relative to the private package."""
    return ast.fix_missing_locations(_Relative(module, follower).visit(ast.parse(module.source, str(module.path))))


class _Relative(ast.NodeTransformer):
    def __init__(self, module: Module, follower: Follower) -> None:
        self.module, self.follower = module, follower
        self.up = module.name.count(".") + 1 + (module.package and bool(module.name))

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for alias in node.names:
            name = self.follower.local(alias.name, self.module, node)
            if name is None:
                statements.append(ast.copy_location(ast.Import([alias]), node))
            else:
                parent, _, own = name.rpartition(".")
                taken = ast.alias(own, alias.asname or own)
                statements.append(ast.copy_location(ast.ImportFrom(parent or None, [taken], self.up), node))
        return statements

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        base = self.follower.base(node, self.module) if not node.level else None
        if base is None:
            return node
        return ast.copy_location(ast.ImportFrom(base or None, node.names, self.up), node)


def imported_names(module: Module) -> set[str]:
    """Return the names that a module takes from ``adu_bench.api``, and other modules of the project that it imports."""
    found = set()
    for node in module.imports:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {alias.name for alias in node.names}
            if node.module == f"{PROJECT}.api" and "*" not in names:
                found |= {f"{node.module}:{name}" for name in names}
            else:
                found |= {str(node.module), *(f"{node.module}.{name}" for name in names)}
    return {name for name in found if f"{name}.".startswith(f"{PROJECT}.") and not f"{name}.".startswith(f"{SHIPPED}.")}


def _refuse_hidden_imports(module: Module) -> None:
    """Refuse imports whose target is known only when the code runs: it would be missing from the digest."""
    for node in module.imports:
        names: Iterator[str] = iter(())
        if isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Name):
            names = iter([node.id])
        elif isinstance(node, ast.Attribute):
            names = iter([f"sys.{node.attr}"])
        for name in names:
            if _hides(name):
                raise _refused(module, node, f"'{name}' can import code that is not part of the key; {_REMEDY}")


def _hides(name: str) -> bool:
    top, _, rest = name.partition(".")
    if top == "sys":
        return rest in _HIDDEN
    if top == "importlib":
        return not any(f"{name}.".startswith(f"{known}.") for known in _HARMLESS)
    return top in ("runpy", "zipimport", "__import__")


def _absolute(node: ast.AST) -> list[str]:
    """Return the full names of modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [str(node.module)] if isinstance(node, ast.ImportFrom) and not node.level else []


def _refused(module: Module, node: ast.AST | None, why: str) -> ValueError:
    line = f", line {node.lineno}" if isinstance(node, ast.stmt | ast.expr) else ""
    return ValueError(f"{module.path.name}{line}: {why}")


def read_source(path: Path) -> str:
    """Read a file as Python's import does, with its declared encoding, since that text is what runs.

    Raises
    ------
    ValueError, OSError
        If it cannot be read; the message is one sentence without a full stop.
    """
    try:
        return importlib.util.decode_source(read_bytes(path, SMALL))
    except (UnicodeDecodeError, LookupError, SyntaxError) as error:
        raise ValueError(f"{path.name} is not text in its declared encoding; save it as UTF-8") from error


@cache
def shipped_folder() -> Path | None:
    """Return the folder of the shipped methods; None where they are not installed."""
    spec = importlib.util.find_spec(SHIPPED)
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    return Path(folders[0]).absolute() if folders else None
