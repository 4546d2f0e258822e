"""The digests in a run's key: of the method's code, and of the project's code that computes its numbers.

Both cover only code that has an effect, see `adu_bench.core.syntax`: results stay valid if a comment or an error
message is corrected, and become stale if a statement changes that can change a number.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from adu_bench.core.hashing import digest
from adu_bench.core.paths import RESOURCES
from adu_bench.core.syntax import MESSENGERS, canonical_code, names_read
from adu_bench.registry.local import PROJECT, Module

ALWAYS = (
    "adu_bench.core.seeds",
    "adu_bench.data.decode",
    "adu_bench.data.preprocessing",
    "adu_bench.data.sampler",
    "adu_bench.data.supervision",
    "adu_bench.runner.batches",
    "adu_bench.runner.evaluate",
    "adu_bench.runner.task_data",
    "adu_bench.runner.unlearn",
    "adu_bench.training.problem",
)
"""The modules that every run uses: from the bytes of an image file to the training sample, the frozen features, the
problem that a method receives, and the predictions.  The modules that they import count as well, except `OUTSIDE`."""

OUTSIDE = {
    "adu_bench.clip.loading": "loads weights, whose hash is in the key",
    "adu_bench.clip.texts": "refuses texts that a model cannot tell apart, and changes none",
    "adu_bench.core.errors": "exceptions and their texts",
    "adu_bench.core.hashing": "names files in the cache, and makes the key itself",
    "adu_bench.core.progress": "tells users how far a run is",
    "adu_bench.core.specs": "the specification, whose values are in the key",
    "adu_bench.data.index": "selects a task's rows, whose hash is in the key",
    "adu_bench.data.rows": "keeps arrays in files",
    "adu_bench.data.sources": "finds image files, whose hashes are in the key",
    "adu_bench.registry": "finds and loads the method, whose digest is in the key",
    "adu_bench.runner.decoding": "decodes ahead of time; the test images of a row are checked when it is verified",
    "adu_bench.training.method": "declarations of a method; its fields are in the key",
}
"""Modules that the numeric core may import but that do not count, with the reason."""

SAME_NUMBERS = RESOURCES / "same_numbers.json"
"""Digests of code by those of earlier code with the same numbers, see `revision`."""

_DECLARATIONS = {"bounds", "card", "presets", "ranges"}
"""Declarations of a method; results stay valid if a literal in them is corrected."""
_CALLS = {"Card", "Preset"}
_LOOKING_MODULES = {"ctypes", "dis", "gc", "inspect", "linecache", "marshal", "pickle", "pydoc", "traceback"}
"""Modules that show code its own text, declarations or messages."""
_LOOKING = _LOOKING_MODULES | {
    *("__file__", "__loader__", "__spec__", "getsource", "getsourcelines"),  # the text of the file
    *("__code__", "__traceback__", "f_lineno", "tb_lineno", "co_consts"),  # its lines and constants
    *("__dict__", "__getattribute__", "attrgetter", "getmembers", "getattr_static", "get_field"),  # declarations
    *("_getframe", "f_globals", "f_locals", "f_builtins", "__builtins__"),  # what a module declares
    *("getdoc", "cleandoc"),  # docstrings
    *("exc_info", "excepthook", "catch_warnings", "showwarning"),  # messages
}
"""Names with which code can read its own text, declarations or messages without naming them."""
_LOOKING_FUNCTIONS = {"eval", "exec", "globals", "locals", "vars"}
"""The same as functions; attributes of these names are others, such as ``eval`` of torch."""
_FORMATS = {"format", "format_map", "vformat"}
_LOOKUP = re.compile(r"\{[^{}]*[.\[]")
"""A field of a format that looks up an attribute or an item, such as ``{0.card}``."""
_HEARING = MESSENGERS | {"__exit__", "__aexit__"}
"""Functions that are given messages: a method that defines one may read them."""


def method_digest(modules: Iterable[Module]) -> str:
    """Digest a method's file and the local modules that it imports.

    Comments, layout, docstrings and messages do not count, nor do a method's ``card``, ``presets``, ``ranges`` and
    ``bounds`` as far as they are literals and no code of the method reads them.  Of code that may look itself up, as
    with ``vars`` or ``__file__``, or that catches what it raises and reads it, all text counts.

    Parameters
    ----------
    modules
        See `adu_bench.registry.local.Follower.modules`.

    Returns
    -------
    str
        20 hexadecimal digits.
    """
    modules = list(modules)
    read = set().union(*(names_read(module.tree) for module in modules))
    if not _LOOKING.isdisjoint(read) or any(_looks(module.tree, read) for module in modules):
        return revision(digest([[module.name, module.source] for module in modules]))
    silent = _DECLARATIONS - read
    code = [[module.name, _code(module.tree, read, _declarations(module.tree, silent))] for module in modules]
    return revision(digest(code))


def _looks(tree: ast.Module, read: Collection[str]) -> bool:
    """Return whether code may read its own declarations, docstrings or messages without naming them."""
    bound, raised = set(), set()
    formats = not _FORMATS.isdisjoint(read)
    for node in ast.walk(tree):
        # By kind, since each command looks at every node of the methods that it knows.
        kind = type(node)
        if kind in _SIGNS and _SIGNS[kind](node):
            return True
        if kind in _BINDS:
            bound.add(_BINDS[kind](node))
        elif kind is ast.Raise:
            raised.add(_called(node.exc))  # type: ignore[attr-defined]
        elif kind is ast.Constant and formats and isinstance(node.value, str) and _LOOKUP.search(node.value):  # type: ignore[attr-defined]
            return True
    # An exception of its own can read the message that it is raised with.
    return not bound.isdisjoint(_HEARING | raised - {""})


def _looks_up(call: Any) -> bool:
    """Return whether a call is of ``getattr`` with a name that is not written there."""
    if not (isinstance(call.func, ast.Name) and call.func.id == "getattr"):
        return False
    return len(call.args) < 2 or not isinstance(call.args[1], ast.Constant)


def _called(node: Any) -> str:
    """Return the name of what an expression calls; empty where it calls nothing by a name."""
    function = getattr(node, "func", None)
    return str(getattr(function, "id", "") or getattr(function, "attr", ""))


_SIGNS: dict[type, Callable[[Any], bool]] = {
    ast.Name: lambda node: node.id in _LOOKING_FUNCTIONS and isinstance(node.ctx, ast.Load),
    ast.Call: _looks_up,
    ast.ImportFrom: lambda node: (node.module or "").partition(".")[0] in _LOOKING_MODULES,
    ast.ClassDef: lambda node: bool(node.keywords),  # a metaclass sees the declarations
    ast.ExceptHandler: lambda node: node.name is not None,
}
"""Nodes that show by themselves that code may read what is otherwise left out."""
_BINDS: dict[type, Callable[[Any], str | None]] = {
    **dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef), lambda node: node.name),
    ast.Name: lambda node: node.id if isinstance(node.ctx, ast.Store) else None,
    ast.Attribute: lambda node: node.attr if isinstance(node.ctx, ast.Store) else None,
    ast.arg: lambda node: node.arg,
    ast.alias: lambda node: node.asname,
}
"""The names that nodes bind: those of functions, classes, variables, attributes, parameters and imports."""


def core_digest(names: Iterable[str], root: Path | None = None) -> str:
    """Digest the numeric core as far as a method uses it.

    Parameters
    ----------
    names
        The names that the method imports, see `adu_bench.registry.local.imported_names`.
    root
        The folder of the package ``adu_bench``; None for the installed one.

    Returns
    -------
    str
        20 hexadecimal digits.
    """
    core = _installed() if root is None else Core(root)
    return revision(core.digest(tuple(sorted(names))))


def revision(digest: str) -> str:
    """Return the digest of the first code with the same numbers as the code with this digest; mostly the digest itself.

    Code can change without a change of numbers, for example when it becomes faster.  `adu_bench.maintenance.golden`
    records such changes after it has compared numbers, so that results remain valid.
    """
    return _same_numbers().get(digest, digest)


@cache
def _same_numbers() -> dict[str, str]:
    return dict(json.loads(SAME_NUMBERS.read_text(encoding="utf-8")))


class Core:
    """The modules of the project that compute numbers, read as text, since importing them would import torch.

    Parameters
    ----------
    root
        The folder of the package ``adu_bench``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def digest(self, names: Collection[str]) -> str:
        """Digest the core as far as names of ``adu_bench.api`` and modules use it; see `core_digest`."""
        return digest([[module, _read(self._text(module)).code] for module in self.modules(names)])

    def modules(self, names: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the modules that count, sorted; names as in `core_digest`."""
        found: set[str] = set()
        waiting = [*ALWAYS, *(home for name in names for home in self._homes(name))]
        while waiting:
            module = waiting.pop()
            if module not in found and module not in OUTSIDE and self.path(module).is_file():
                found.add(module)
                waiting += _read(self._text(module)).imports
        return tuple(sorted(found))

    def path(self, module: str) -> Path:
        """Return where the text of a module is, whether or not it exists."""
        place = self.root.joinpath(*module.split(".")[1:])
        return place / "__init__.py" if place.is_dir() else place.with_name(f"{place.name}.py")

    def _homes(self, name: str) -> tuple[str, ...]:
        """Return the modules that define an imported name; all modules of the API if it was imported as a whole."""
        homes = _exported(self._text(f"{PROJECT}.api"))
        if name in (PROJECT, f"{PROJECT}.api", f"{PROJECT}.api.*"):
            return tuple(homes.values())
        return (homes.get(name.removeprefix(f"{PROJECT}.api:"), name),)

    def _text(self, module: str) -> str:
        return self.path(module).read_text(encoding="utf-8")


class _Read(NamedTuple):
    imports: tuple[str, ...]
    code: str


@cache
def _exported(text: str) -> dict[str, str]:
    """Return the module of each name that a module imports from others."""
    return {
        alias.asname or alias.name: str(node.module)
        for node in ast.parse(text).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@cache
def _read(text: str) -> _Read:
    tree = ast.parse(text)
    return _Read(tuple(imports(tree)), _code(tree, names_read(tree)))


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the modules of the project that code imports when it runs (those for type checkers are left out).

    A name taken from a package is yielded as if it were a module.
    """
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(f"{PROJECT}."))
        elif isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{PROJECT}."):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


@cache
def _installed() -> Core:
    return Core(Path(str(find_spec(PROJECT).submodule_search_locations[0])))  # type: ignore[union-attr, index]


def _code(tree: ast.Module, read: Collection[str], silent: Iterable[ast.AST] = ()) -> str:
    return canonical_code(tree, silent, docstrings=not {"__doc__", "getdoc"}.isdisjoint(read))


def _declarations(tree: ast.Module, names: Collection[str]) -> Iterator[ast.AST]:
    """Yield the assignments in classes that are pure declarations: literals, and `Card` and `Preset` of literals."""
    calls = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == f"{PROJECT}.api"
        for alias in node.names
        if alias.name in _CALLS and alias.asname is None
    }
    for owner in ast.walk(tree):
        for statement in owner.body if isinstance(owner, ast.ClassDef) else ():
            targets: Sequence[ast.expr] = ()
            if isinstance(statement, ast.Assign):
                targets = statement.targets
            elif isinstance(statement, ast.AnnAssign) and _is_inert(statement.annotation):
                targets = [statement.target]
            named = targets and all(isinstance(target, ast.Name) and target.id in names for target in targets)
            if named and _is_literal(statement.value, calls):  # type: ignore[attr-defined]
                yield statement


def _is_literal(node: ast.expr | None, calls: Collection[str]) -> bool:
    if isinstance(node, ast.Tuple | ast.List):
        return all(_is_literal(item, calls) for item in node.elts)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls:
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        return all(keyword.arg for keyword in node.keywords) and all(_is_literal(value, ()) for value in values)
    try:
        ast.literal_eval(node)  # type: ignore[arg-type]
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return False
    return True


def _is_inert(annotation: ast.expr) -> bool:
    allowed = ast.Name | ast.Attribute | ast.Subscript | ast.Tuple | ast.Constant | ast.expr_context
    return all(isinstance(node, allowed) for node in ast.walk(annotation))
