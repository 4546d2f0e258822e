"""What Python code does, as text: the syntax tree without comments, layout, docstrings and messages."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator

_IGNORED = {"ctx", "kind", "type_comment", "type_ignores"}
"""Fields of syntax nodes that follow from the others or change nothing."""
MESSENGERS = {"report", "warn"}
"""Functions that show a text to people."""


def canonical_code(tree: ast.Module, silent: Iterable[ast.AST] = (), *, docstrings: bool = False) -> str:
    """Write a syntax tree as text that is the same on every Python version.

    Results must survive a corrected comment or error message, but never a changed statement.  Left out are comments
    and layout (which the tree does not have), bare strings, ``pass``, and the literal texts in messages: in the
    arguments of a raised exception, of ``warn(...)`` and of ``report(...)``, and behind an ``assert``.  Everything
    that is evaluated counts, also within a message.

    Parameters
    ----------
    tree
        A parsed module.
    silent
        Nodes of the tree that do not count either.
    docstrings
        Whether bare strings count, for code that reads its own docstrings.

    Returns
    -------
    str
        ASCII text; equal exactly if the code is equal in the sense above.
    """
    left_out = {id(node) for node in silent} | {id(node) for node in _without_effect(tree, docstrings)}
    parts: list[str] = []
    # A stack instead of recursion: long expressions are deep trees.
    waiting: list[ast.AST | str] = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            parts.append(item)
        else:
            waiting += reversed([f"({type(item).__name__}", *_fields(item, left_out), ")"])
    return "".join(parts)


def names_read(tree: ast.Module) -> set[str]:
    """Return the names that code reads: variables, attributes, and strings, which ``getattr`` may take for names."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            found.add(node.name)
        elif isinstance(node, ast.MatchClass):
            found.update(node.kwd_attrs)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def _fields(node: ast.AST, left_out: Collection[int]) -> Iterator[ast.AST | str]:
    if isinstance(node, ast.Constant):
        yield f" {_constant(node.value)}"
        return
    # By name, since a later Python may add fields anywhere; an empty field is one that an earlier Python lacks.
    for name in sorted(set(node._fields) - _IGNORED):
        value = getattr(node, name, None)
        if isinstance(value, list):
            kept = [item for item in value if id(item) not in left_out]
            if isinstance(node, ast.JoinedStr):
                kept = _joined(kept)
            if kept:
                yield f" {name}=["
                for item in kept:
                    yield item if isinstance(item, ast.AST) else f" {_constant(item)}"
                yield "]"
        elif isinstance(value, ast.AST):
            if id(value) not in left_out and not (isinstance(value, ast.JoinedStr) and not value.values):
                yield f" {name}="
                yield value
        elif value is not None:
            yield f" {name}={_constant(value)}"


def _constant(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    # `repr` would leave printable characters as they are, and what is printable depends on the Python version.
    return ascii(value)


def _joined(values: list[ast.AST]) -> list[ast.AST]:
    """Join neighbouring texts of an f-string, which Python versions divide differently."""
    joined: list[ast.AST] = []
    for value in values:
        last = joined[-1] if joined else None
        if not isinstance(value, ast.Constant):
            joined.append(value)
        elif isinstance(last, ast.Constant):
            joined[-1] = ast.Constant(str(last.value) + str(value.value))
        elif value.value:
            joined.append(value)
    return joined


def _without_effect(tree: ast.Module, docstrings: bool) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Pass):
            yield node
        elif isinstance(node, ast.Expr):
            if not docstrings and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                yield node
        elif isinstance(node, ast.Assert):
            yield from _texts(node.msg)
        elif isinstance(node, ast.Raise):
            if isinstance(node.exc, ast.Call):
                yield from _message(node.exc)
        elif isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in MESSENGERS:
                yield from _message(node)


def _message(call: ast.Call) -> Iterator[ast.AST]:
    for value in (*call.args, *(keyword.value for keyword in call.keywords)):
        yield from _texts(value)


def _texts(node: ast.expr | None) -> Iterator[ast.AST]:
    """Yield the literal texts that a message is made of; not those that are arguments of further calls."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node
    elif isinstance(node, ast.JoinedStr):
        yield from (value for value in node.values if isinstance(value, ast.Constant))
    elif isinstance(node, ast.BinOp):
        yield from _texts(node.left)
        yield from _texts(node.right)
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
