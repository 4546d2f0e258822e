"""Stable digests of values, files and source code; they name runs, data and weights."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

KEY_LENGTH = 20


def canonical_json(value: Any) -> str:
    """Serialise ``value`` so that equal values give equal text: sorted keys, no spaces, no NaN.

    Raises
    ------
    ValueError
        If ``value`` holds NaN or an infinity, which JSON cannot carry between programs.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Return the first 20 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:KEY_LENGTH]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def source_digest(sources: Iterable[str], without: Collection[str] = ()) -> str:
    """Digest Python sources by what they do: comments, docstrings and blank lines do not count.

    Results must survive a corrected comment, yet never a changed statement.  The text is cut by positions rather
    than re-printed from the syntax tree, because the tree's printed form differs between Python versions.

    Parameters
    ----------
    sources
        Texts of modules.
    without
        Names whose assignments in class bodies do not count either.
    """
    return digest([_code_lines(source, without) for source in sources])


def _code_lines(source: str, without: Collection[str]) -> list[str]:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in _silent(ast.parse(source), without):
        for row in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[row] = ""
    return [line.rstrip() for line in lines if line.strip()]


def _silent(tree: ast.Module, without: Collection[str]) -> Iterator[ast.stmt]:
    """Yield the statements that change no result: bare strings, and assignments to the given names in classes."""
    for node in ast.walk(tree):
        for statement in getattr(node, "body", ()) if isinstance(node, ast.stmt | ast.Module) else ():
            if isinstance(statement, ast.Expr):
                silent = isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)
            else:
                silent = isinstance(node, ast.ClassDef) and _assigns_only(statement, without)
            if silent:
                yield statement


def _assigns_only(statement: ast.stmt, names: Collection[str]) -> bool:
    return isinstance(statement, ast.Assign) and all(
        isinstance(target, ast.Name) and target.id in names for target in statement.targets
    )
