"""The known audits.  Their cards are read from the text of the files; an audit is imported only to run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from adu_bench.audits.audit import LEVELS, Audit, AuditCard, AuditMetric
from adu_bench.core.errors import UserError, unknown
from adu_bench.core.files import SMALL, read_bytes
from adu_bench.core.hashing import digest
from adu_bench.core.syntax import canonical_code
from adu_bench.registry.catalogue import files_in
from adu_bench.registry.fingerprint import imports, method_digest
from adu_bench.registry.loading import load_class
from adu_bench.registry.local import Follower, Module
from adu_bench.registry.source import MethodSource, method_source

PACKAGE = "adu_bench.audits"
FOLDER = Path(__file__).parent
_METRICS = "adu_bench.metrics"
"""Audits share code with metrics, such as the linear probe; it counts as theirs."""
_UNCOUNTED = {PACKAGE, f"{PACKAGE}.audit", f"{PACKAGE}.catalogue"}
"""Modules that declare and find audits but compute nothing."""
_BUILT = {kind.__name__: kind for kind in (AuditCard, AuditMetric)}


@dataclass(frozen=True)
class AuditEntry:
    """An audit as its file declares it.

    Parameters
    ----------
    card
        Its card.
    class_name, path
        The class and its file.
    code
        Digest of the audit's file without its card, of the local modules that it imports, and of the modules of this
        package that it uses.  A result with another digest is stale.  The code that computes predictions is covered by
        the run's key.
    """

    card: AuditCard
    class_name: str
    path: Path
    code: str

    @property
    def name(self) -> str:
        """The audit's name."""
        return self.card.name

    @property
    def source(self) -> MethodSource:
        """The code, ready to travel to another machine; see `located`."""
        shipped = self.path.parent == FOLDER
        return MethodSource(self.path.name, PACKAGE) if shipped else method_source(self.path, self.code)

    def load(self) -> Audit:
        """Import the audit.

        Raises
        ------
        UserError
            If its file does not import.
        """
        if self.path.parent == FOLDER:
            kind: Any = getattr(import_module(f"{PACKAGE}.{self.path.stem}"), self.class_name)
        else:
            kind = load_class(self.path, self.class_name, method_digest(Follower(self.path).modules()))
        return kind()


def find_audits(extra: str = "") -> dict[str, AuditEntry]:
    """Return the known audits by name, shipped ones first.

    Parameters
    ----------
    extra
        A folder or file with further audits; files without audits are ignored.  Empty for none.

    Raises
    ------
    UserError
        If a card cannot be read, or two audits have the same name.
    """
    found: dict[str, AuditEntry] = {}
    for path in files_in([FOLDER, *([Path(extra)] if extra else [])]):
        for entry in _read(path):
            if entry.name in found:
                raise UserError(
                    f"Two audits are called '{entry.name}'.",
                    f"'{path}' and '{found[entry.name].path}' declare it.",
                    "Rename one of them.",
                )
            found[entry.name] = entry
    return found


def located(entry: AuditEntry, source: MethodSource) -> AuditEntry:
    """Return an audit that another machine chose, with its file on this one.

    Raises
    ------
    UserError
        If this machine has other code of the audit.
    """
    path = source.locate()
    if entry.code not in {own.code for own in _read(path)}:
        raise UserError(
            f"The worker has another version of the audit '{entry.name}'.",
            "Its code differs from that of the machine that sent the run.",
            "Install the same version on all machines, and start the workers again.",
        )
    return replace(entry, path=path)


def choose_audits(text: str, known: dict[str, AuditEntry]) -> list[AuditEntry]:
    """Return the audits that a text names: ``core``, ``full`` (all of them), or names with commas.

    Raises
    ------
    UserError
        If an audit is unknown, or the text names none.
    """
    chosen: dict[str, AuditEntry] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part in LEVELS:
            levels = LEVELS[: LEVELS.index(part) + 1]
            chosen |= {name: entry for name, entry in known.items() if entry.card.level in levels}
        elif part in known:
            chosen[part] = known[part]
        else:
            raise unknown("audit", part, [*known, *LEVELS])
    if not chosen:
        raise UserError(f"'{text}' names no audit.", "At least one is needed.", "For example --audits core")
    return list(chosen.values())


def _read(path: Path) -> list[AuditEntry]:
    """Return the audits that a file declares; none for a file that is not valid Python, which may be a method's."""
    follower = Follower(path)
    try:
        tree = ast.parse(read_bytes(path, SMALL))
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    cards = list(_cards(tree))
    if not cards:
        return []
    try:
        code = _code(follower.modules())
        return [AuditEntry(_built(card.value), owner.name, path, code) for owner, card in cards]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"The audit file '{path}' cannot be read.",
            f"{error}.",
            "Write its card with literal values, as docs/audits.md shows.",
        ) from error


def _cards(tree: ast.Module) -> Iterator[tuple[ast.ClassDef, ast.Assign]]:
    """Yield the classes that declare ``card = AuditCard(...)``, with the declaration."""
    for owner in tree.body:
        for statement in owner.body if isinstance(owner, ast.ClassDef) else ():
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
                target, called = statement.targets[0], statement.value.func
                if isinstance(target, ast.Name) and target.id == "card" and _name(called) == AuditCard.__name__:
                    yield owner, statement  # type: ignore[misc]


def _built(node: ast.expr) -> Any:
    """Evaluate literals, tuples, and calls of the classes that a card is made of."""
    if isinstance(node, ast.Tuple):
        return tuple(_built(item) for item in node.elts)
    if isinstance(node, ast.Call) and _name(node.func) in _BUILT:
        named = {str(keyword.arg): _built(keyword.value) for keyword in node.keywords}
        return _BUILT[_name(node.func)](*map(_built, node.args), **named)
    return ast.literal_eval(node)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _code(modules: Sequence[Module]) -> str:
    """Digest an audit's modules and the modules of this package that they use."""
    trees = {module.name: module.tree for module in modules}
    waiting = list(trees.values())
    while waiting:
        for name in _of_package(imports(waiting.pop())):
            if name not in trees:
                trees[name] = ast.parse(_file(name).read_bytes())
                waiting.append(trees[name])
    return digest(
        [[name, canonical_code(tree, [card for _, card in _cards(tree)])] for name, tree in sorted(trees.items())]
    )


def _of_package(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name.rpartition(".")[0] in (PACKAGE, _METRICS) and name not in _UNCOUNTED and _file(name).is_file():
            yield name


def _file(name: str) -> Path:
    return FOLDER.parent.joinpath(*name.split(".")[1:]).with_suffix(".py")
