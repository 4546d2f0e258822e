"""The declarations of a method file, read from its text; nothing is imported, so a broken file cannot do harm."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

from adu_bench.core.groups import GROUPS
from adu_bench.core.specs import Value
from adu_bench.registry.bases import Classes
from adu_bench.registry.bounds import Bounds
from adu_bench.registry.field_types import read_type
from adu_bench.registry.fields import Field
from adu_bench.registry.fingerprint import core_digest, method_digest
from adu_bench.registry.local import Follower, Module, imported_names, read_source


@dataclass(frozen=True)
class PresetEntry:
    """A name on the command line: the method itself, or the method with some fields set."""

    name: str
    group: str
    summary: str
    fields: dict[str, Value]


@dataclass(frozen=True)
class MethodEntry:
    """A method class as its file declares it.

    Parameters
    ----------
    name
        The card's name.
    class_name
        Name of the class in the file.
    path
        The file.
    card
        Title, authors, year, paper, licence, notes.
    fields
        Hyper-parameters by name, those of base classes first.
    presets
        The method itself, then its presets.
    ranges
        The values that tuning may try, by field: ``(low, high)`` on a logarithmic scale, or a list of values.
    imports
        The names that its code imports from the project, see `adu_bench.registry.local.imported_names`.
    modules
        The file, and then the local modules that it imports.
    """

    name: str
    class_name: str
    path: Path
    card: dict[str, Any]
    fields: dict[str, Field]
    presets: tuple[PresetEntry, ...]
    ranges: dict[str, Any]
    imports: tuple[str, ...]
    modules: tuple[Module, ...]

    @property
    def source(self) -> str:
        """The text of the method's file."""
        return self.modules[0].source

    @property
    def unbounded(self) -> tuple[str, ...]:
        """The numeric fields for which no bounds are declared."""
        return tuple(name for name, field in self.fields.items() if field.type.numeric and field.bounds is None)

    @cached_property
    def source_hash(self) -> str:
        """Digest of the method's file and its local modules."""
        return method_digest(self.modules)

    @cached_property
    def core_hash(self) -> str:
        """Digest of the numeric core as far as the method uses it."""
        return core_digest(self.imports)


def read_methods(path: Path) -> list[MethodEntry]:
    """Return the methods that a file declares; a class with the card of an audit is none.

    Raises
    ------
    ValueError, OSError
        If the file or a local module that it imports cannot be read, or a declaration is not literal; the message is
        one sentence without a full stop.
    """
    follower = Follower(path)
    modules = follower.modules()
    imports = tuple(sorted(set().union(*(imported_names(module) for module in modules))))
    classes = Classes(follower, modules)
    found = []
    for node in modules[0].tree.body:
        if isinstance(node, ast.ClassDef):
            card = _assigned(node, "card")
            if card is not None and not _is_call(card, "AuditCard"):
                found.append(_method(node, card, path, imports, modules, classes))
    return found


def declared_names(path: Path) -> tuple[str, ...]:
    """Return the names of the methods and presets that a file declares, as far as its text shows them."""
    calls = (node for node in ast.walk(_parsed(path)) if isinstance(node, ast.Call))
    named = (
        value
        for call in calls
        if ast.unparse(call.func).rpartition(".")[2] in ("Card", "Preset")
        for value in [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "name")]
    )
    return tuple(value.value for value in named if isinstance(value, ast.Constant) and isinstance(value.value, str))


def unnamed_methods(path: Path) -> tuple[str, ...]:
    """Return the subclasses of `Method` in a file that have no card, and so no name; none where it has a method."""
    classes = [node for node in _parsed(path).body if isinstance(node, ast.ClassDef)]
    if any(_assigned(node, "card") is not None for node in classes):
        return ()
    return tuple(
        node.name for node in classes if any(ast.unparse(base).rpartition(".")[2] == "Method" for base in node.bases)
    )


def _parsed(path: Path) -> ast.Module:
    """Return a file's syntax tree; an empty one where it has none."""
    try:
        return Module("", path, read_source(path)).tree
    except (OSError, ValueError):
        return ast.Module([], [])


def _method(
    node: ast.ClassDef,
    card: ast.expr,
    path: Path,
    imports: tuple[str, ...],
    modules: tuple[Module, ...],
    classes: Classes,
) -> MethodEntry:
    values = _call(card, "Card", node.name, ("name", "group"))
    kind = classes.empty("", node.name)
    order = [classes.nodes[each] for each in kind.__mro__ if each in classes.nodes]
    fields = {name: field for name, field in _fields(kind, classes.nodes).items() if field is not None}
    bounds = _bounds(order, fields)
    fields = {name: replace(field, bounds=bounds.get(name)) for name, field in fields.items()}
    for name, field in fields.items():
        fields[name] = replace(field, default=_checked(field, field.default, f"the default of {name}"))
    summary = (ast.get_docstring(node) or "").strip().splitlines()
    if not summary:
        raise ValueError(f"the class {node.name} has no docstring, which is its summary")
    own = PresetEntry(values.pop("name"), values.pop("group"), summary[0], {})
    presets = [own, *(_preset(call, node.name, fields) for call in _preset_calls(node))]
    for preset in presets:
        if preset.group not in GROUPS:
            raise ValueError(f"the group of {preset.name} is {preset.group!r}, not one of {', '.join(GROUPS)}")
    ranges = _ranges(order, fields)
    return MethodEntry(own.name, node.name, path, values, fields, tuple(presets), ranges, imports, modules)


def _bounds(order: Sequence[ast.ClassDef], fields: Mapping[str, Field]) -> dict[str, Bounds]:
    """Read the bounds of a class and of its bases, whose fields it inherits; the nearest class decides."""
    found: dict[str, Bounds] = {}
    for node in order:
        for name, declared in _mapping(node, "bounds").items():
            if name not in fields and node is order[0]:
                raise ValueError(f"bounds of {node.name} contains {name}, which is not a field")
            if name in found or name not in fields:
                continue
            if not fields[name].type.numeric:
                raise ValueError(f"bounds of {node.name} contains {name}, which is not a number")
            try:
                found[name] = Bounds.read(declared)
            except ValueError as error:
                raise ValueError(f"bounds of {name}: {error}") from error
    return found


def _checked(field: Field, value: Any, what: str) -> Value:
    try:
        return field.convert(value)
    except ValueError as error:
        raise ValueError(f"{what} is {value!r}, but {field.name} is {field.allowed}") from error


def _ranges(order: Sequence[ast.ClassDef], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Read the ranges of the nearest class that has some, as Python looks up a class attribute."""
    owner = next((node for node in order if _assigned(node, "ranges") is not None), order[0])
    ranges = _mapping(owner, "ranges")
    for name, range_ in ranges.items():
        if name not in fields:
            raise ValueError(f"ranges of {order[0].name} contains {name}, which is not a field")
        if not isinstance(range_, tuple | list):
            raise ValueError(f"the range of {name} is neither (low, high) nor a list of values")
        if isinstance(range_, tuple) and not _is_interval(range_):
            raise ValueError(f"the range of {name} is not (low, high) with 0 < low < high")
        # An interval is drawn from as floats, which an int field does not take.
        for value in (*range_, math.sqrt(math.prod(range_))) if isinstance(range_, tuple) else range_:
            _checked(fields[name], value, f"a value in the range of {name}")
    return ranges


def _mapping(node: ast.ClassDef, name: str) -> dict[str, Any]:
    """Return the mapping from fields that a class assigns to a name; empty without one."""
    assigned = _assigned(node, name)
    value = _literal(assigned, f"{name} of {node.name}") if assigned is not None else {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} of {node.name} is not a mapping from fields")
    return value


def _is_interval(range_: tuple[Any, ...]) -> bool:
    numbers = all(isinstance(bound, int | float) for bound in range_)
    return numbers and len(range_) == 2 and 0 < range_[0] < range_[1]


def _fields(kind: type, nodes: Mapping[type, ast.ClassDef]) -> dict[str, Field | None]:
    """Collect the fields of a class as dataclasses do: all of each base, the nearest base last, then its own.

    A class variable hides a field of a base and is None here.
    """
    bases = [base for base in kind.__mro__[1:] if base in nodes]
    if not _is_dataclass(nodes[kind]):
        if any(isinstance(statement, ast.AnnAssign) and not _is_classvar(statement) for statement in nodes[kind].body):
            raise ValueError(f"{nodes[kind].name} has fields but lacks the line @dataclass(frozen=True, kw_only=True)")
        return _fields(bases[0], nodes) if bases else {}
    fields: dict[str, Field | None] = {}
    for base in reversed(bases):
        fields |= _fields(base, nodes)
    return fields | _own_fields(nodes[kind])


def _own_fields(node: ast.ClassDef) -> dict[str, Field | None]:
    fields: dict[str, Field | None] = {}
    for place, statement in enumerate(node.body):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        name = statement.target.id
        if _is_classvar(statement):
            fields[name] = None
            continue
        if statement.value is None:
            raise ValueError(f"the field {name} of {node.name} has no default")
        default = _literal(statement.value, f"the default of {name}")
        kind = ast.unparse(statement.annotation)
        try:
            fields[name] = Field(name, kind, read_type(statement.annotation), default, _help(node.body, place))
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"the type {kind} of the field {name} of {node.name} {error}") from error
    return fields


def _is_classvar(statement: ast.stmt) -> bool:
    kind = ast.unparse(statement.annotation) if isinstance(statement, ast.AnnAssign) else ""
    return kind.partition("[")[0].rpartition(".")[2] == "ClassVar"


def _is_dataclass(node: ast.ClassDef) -> bool:
    functions = (item.func if isinstance(item, ast.Call) else item for item in node.decorator_list)
    return any(ast.unparse(function).rpartition(".")[2] == "dataclass" for function in functions)


def _help(body: list[ast.stmt], place: int) -> str:
    following = body[place + 1] if place + 1 < len(body) else None
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        return " ".join(str(following.value.value).split())
    return ""


def _preset_calls(node: ast.ClassDef) -> list[ast.expr]:
    presets = _assigned(node, "presets")
    if presets is None:
        return []
    if not isinstance(presets, ast.Tuple | ast.List):
        raise ValueError(f"presets of {node.name} is not a tuple of Preset(...)")
    return presets.elts


def _preset(call: ast.expr, owner: str, fields: Mapping[str, Field]) -> PresetEntry:
    values = _call(call, "Preset", owner, ("name", "group", "summary"))
    entry = PresetEntry(values.pop("name"), values.pop("group"), values.pop("summary"), values)
    for name, value in values.items():
        if name not in fields:
            raise ValueError(f"the preset {entry.name} sets {name}, which is not a field of {owner}")
        values[name] = _checked(fields[name], value, f"{name} of the preset {entry.name}")
    return entry


def _assigned(node: ast.ClassDef, name: str) -> ast.expr | None:
    """Return the value that a class assigns to a name."""
    found: list[ast.expr] = []
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        else:
            continue
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert statement.value is not None
            found.append(statement.value)
    if len(found) > 1:
        raise ValueError(f"{node.name} assigns {name} twice, line {found[1].lineno}")
    return found[0] if found else None


def _is_call(node: ast.expr, kind: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == kind


def _call(node: ast.expr, kind: str, owner: str, texts: tuple[str, ...]) -> dict[str, Any]:
    if not _is_call(node, kind):
        raise ValueError(f"{owner} needs {kind}(...) with literal values")
    values = {"name": _literal(node.args[0], f"the name of a {kind}")} if node.args else {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError(f"{kind}(...) of {owner} unpacks a mapping; write its values out")
        values[keyword.arg] = _literal(keyword.value, f"{keyword.arg} of {owner}")
    for needed in texts:
        if not isinstance(values.get(needed), str):
            raise ValueError(f"{kind}(...) of {owner} has no {needed}")
    return values


def _literal(node: ast.expr, what: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what} is not a literal value, line {node.lineno}") from error
