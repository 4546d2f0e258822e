"""The base classes of a method's class, found in the text of its modules."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence

from adu_bench.registry.local import Follower, Module

_Place = tuple[str, str]
"""A class: the names of its module and of the class; or a module: an empty text and its name."""
_ELSEWHERE: _Place = ("<elsewhere>", "")


class Classes:
    """The classes in a method's file and in the local modules that it imports.

    Parameters
    ----------
    follower
        Resolves imports.
    modules
        The modules that it found.

    Attributes
    ----------
    nodes
        The definition of each class that `empty` returned.
    """

    def __init__(self, follower: Follower, modules: Sequence[Module]) -> None:
        self._follower = follower
        self._modules = {module.name: module for module in modules}
        self.nodes: dict[type, ast.ClassDef] = {}
        self._made: dict[_Place, type] = {}
        self._open: set[_Place] = set()

    def empty(self, module: str, name: str) -> type:
        """Return an empty class with the bases of the one in the text, for which Python computes the order of bases.

        Raises
        ------
        ValueError
            If a base cannot be found, or the order is inconsistent.
        """
        place = (module, name)
        if place not in self._made:
            node = self._bound(module, name)
            if not isinstance(node, ast.ClassDef):
                raise ValueError(f"the class {name} is not defined at the top level of its file")
            if place in self._open:
                raise ValueError(f"{name} is its own base in the text; give one of the two another name")
            self._open.add(place)
            bases = [self._base(module, base, node) for base in node.bases]
            try:
                kind = type(name, tuple(base for base in bases if base is not object), {})
            except TypeError as error:
                raise ValueError(f"the bases of {name} have no consistent order, line {node.lineno}") from error
            self.nodes[kind] = node
            self._made[place] = kind
        return self._made[place]

    def _base(self, module: str, base: ast.expr, owner: ast.ClassDef) -> type:
        """Return the empty class for a base; `object` for one that is not local, such as `Method`."""
        if isinstance(base, ast.Subscript):
            base = base.value
        whole = ast.unparse(base)
        place = ("", module)
        for name in whole.split("."):
            inner = ".".join(filter(None, place))
            found = self._find(inner, name) if inner in self._modules else None
            if found is None:
                raise ValueError(f"the base {whole} of {owner.name} cannot be found in the text, line {owner.lineno}")
            if found is _ELSEWHERE:
                return object
            place = found
        return self.empty(*place)

    def _find(self, module: str, name: str) -> _Place | None:
        """Return the class or local module that a name of a module stands for.

        `_ELSEWHERE` stands for everything outside the local modules; None is returned for a name that is not bound.
        """
        node = self._bound(module, name)
        if isinstance(node, ast.ClassDef):
            return module, name
        if node is None:
            return _ELSEWHERE if hasattr(builtins, name) else None
        targets = self._follower.targets(node, self._modules[module])
        if not targets:
            return _ELSEWHERE
        alias = next(alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) == name)
        if isinstance(node, ast.Import):
            local = self._follower.local(alias.name, self._modules[module], node)
            return ("", local) if local is not None else _ELSEWHERE
        base = self._follower.base(node, self._modules[module])
        inner = ".".join(filter(None, (base, alias.name)))
        if inner in targets:
            return "", inner
        return self._find(str(base), alias.name)

    def _bound(self, module: str, name: str) -> ast.ClassDef | ast.Import | ast.ImportFrom | None:
        """Return the last statement of a module that binds a name to a class or an import."""
        found: ast.ClassDef | ast.Import | ast.ImportFrom | None = None
        for node in self._modules[module].tree.body:
            if isinstance(node, ast.ClassDef):
                found = node if node.name == name else found
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names = (alias.asname or alias.name.partition(".")[0] for alias in node.names)
                found = node if name in names else found
        return found
