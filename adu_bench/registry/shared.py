"""Which shared training code a method uses, by following imports in the text; its digest is part of the run's key."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from adu_bench.core.hashing import source_digest

ROOTS = ("adu_bench.training.", "adu_bench.clip.")
ALWAYS = ("adu_bench.data.sampler", "adu_bench.data.preprocessing")
"""The few-shot draw and the resizing of pictures change the numbers of every method."""


def shared_digest(names: Iterable[str]) -> str:
    """Digest the training code that a method uses.

    Parameters
    ----------
    names
        Names of ``adu_bench.api``, which stand for the modules that define them, and full names of modules. The code
        that these import counts too.

    Returns
    -------
    str
        A digest of the modules' texts.
    """
    return _digest(tuple(names))


@cache
def _digest(names: tuple[str, ...]) -> str:
    homes = _homes()
    waiting = [homes.get(name, name) for name in names] + ["adu_bench.training.problem"]
    if "adu_bench.api" in waiting:
        # The module as a whole was imported, and any of its names may be used.
        waiting += homes.values()
    found: set[str] = set(ALWAYS)
    while waiting:
        module = waiting.pop()
        if module not in found and module.startswith(ROOTS) and _path(module).is_file():
            found.add(module)
            waiting.extend(_imports(module))
    return source_digest(_source(module) for module in sorted(found))


@cache
def _homes() -> dict[str, str]:
    return {
        alias.name: node.module
        for node in ast.parse(_source("adu_bench.api")).body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


@cache
def _imports(module: str) -> tuple[str, ...]:
    return tuple(
        node.module for node in ast.walk(ast.parse(_source(module))) if isinstance(node, ast.ImportFrom) and node.module
    )


@cache
def _source(module: str) -> str:
    return _path(module).read_text(encoding="utf-8")


def _path(module: str) -> Path:
    # The package's folder is known without importing the module, which would import torch.
    root = Path(str(find_spec("adu_bench").submodule_search_locations[0]))  # type: ignore[union-attr, index]
    return root.joinpath(*module.split(".")[1:]).with_suffix(".py")
