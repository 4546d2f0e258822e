"""What a method file declares, read from its text: nothing is imported, so a broken or slow file harms nobody."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adu_bench.core.specs import Value

GROUPS = ("paper", "reference", "ablation", "other")


@dataclass(frozen=True)
class Field:
    """A hyper-parameter: name, type as written (``float``, ``Literal['a', 'b']`` ...), default, help."""

    name: str
    kind: str
    default: Value
    help: str


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
        Hyper-parameters by name.
    presets
        All names it goes by; the first is the method itself.
    ranges
        What tuning may try: ``(low, high)`` on a logarithmic scale, or a list of values, by field.
    imports
        The names that the file takes from ``adu_bench.api``, and modules of the project that it imports directly.
    source
        The file's text.
    """

    name: str
    class_name: str
    path: Path
    card: dict[str, Any]
    fields: dict[str, Field]
    presets: tuple[PresetEntry, ...]
    ranges: dict[str, Any]
    imports: tuple[str, ...]
    source: str


def read_methods(path: Path) -> list[MethodEntry]:
    """Return the methods that a file declares.

    Raises
    ------
    ValueError, SyntaxError, OSError
        If the file cannot be read or a declaration is not literal; the message is one sentence without a full stop.
    """
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source, filename=str(path))
    imports = tuple(sorted(_shared_names(tree)))
    found = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            card = _assigned(node, "card")
            if card is not None:
                found.append(_method(node, card, path, imports, source))
    return found


def _shared_names(tree: ast.Module) -> set[str]:
    """Return names taken from ``adu_bench.api``, and the project's modules that are imported as such."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith("adu_bench.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "adu_bench.api":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("adu_bench."):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _method(node: ast.ClassDef, card: ast.expr, path: Path, imports: tuple[str, ...], source: str) -> MethodEntry:
    values = _call(card, "Card", node.name, ("name", "group"))
    fields = {field.name: field for field in _fields(node)}
    summary = (ast.get_docstring(node) or "").strip().splitlines()
    if not summary:
        raise ValueError(f"the class {node.name} has no docstring, which is its summary")
    own = PresetEntry(values.pop("name"), values.pop("group"), summary[0], {})
    presets = [own, *(_preset(call, node.name) for call in _preset_calls(node))]
    for preset in presets:
        if preset.group not in GROUPS:
            raise ValueError(f"the group of {preset.name} is {preset.group!r}, not one of {', '.join(GROUPS)}")
        for name in preset.fields:
            if name not in fields:
                raise ValueError(f"the preset {preset.name} sets {name}, which is no field of {node.name}")
    ranges = _ranges(node, fields)
    return MethodEntry(own.name, node.name, path, values, fields, tuple(presets), ranges, imports, source)


def _ranges(node: ast.ClassDef, fields: dict[str, Field]) -> dict[str, Any]:
    value = _assigned(node, "ranges")
    ranges = _literal(value, f"ranges of {node.name}") if value is not None else {}
    if not isinstance(ranges, dict):
        raise ValueError(f"ranges of {node.name} is not a mapping from fields to ranges")
    for name, range_ in ranges.items():
        if name not in fields:
            raise ValueError(f"ranges of {node.name} names {name}, which is no field")
        if not isinstance(range_, tuple | list):
            raise ValueError(f"the range of {name} is neither (low, high) nor a list of values")
        if isinstance(range_, tuple) and not _is_interval(range_):
            raise ValueError(f"the range of {name} is not (low, high) with 0 < low < high")
    return ranges


def _is_interval(range_: tuple[Any, ...]) -> bool:
    numbers = all(isinstance(bound, int | float) for bound in range_)
    return numbers and len(range_) == 2 and 0 < range_[0] < range_[1]


def _fields(node: ast.ClassDef) -> list[Field]:
    fields = []
    for place, statement in enumerate(node.body):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        name, kind = statement.target.id, ast.unparse(statement.annotation)
        if kind.startswith("ClassVar"):
            continue
        if statement.value is None:
            raise ValueError(f"the field {name} of {node.name} has no default")
        fields.append(Field(name, kind, _literal(statement.value, f"the default of {name}"), _help(node.body, place)))
    return fields


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


def _preset(call: ast.expr, owner: str) -> PresetEntry:
    values = _call(call, "Preset", owner, ("name", "group", "summary"))
    return PresetEntry(values.pop("name"), values.pop("group"), values.pop("summary"), values)


def _assigned(node: ast.ClassDef, name: str) -> ast.expr | None:
    for statement in node.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return statement.value  # type: ignore[attr-defined]
    return None


def _call(node: ast.expr, kind: str, owner: str, texts: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] != kind:
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
