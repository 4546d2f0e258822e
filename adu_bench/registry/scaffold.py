"""A new method's file, made from the text of another method, and a test beside it."""

from __future__ import annotations

import ast
import re

from adu_bench.registry.local import SHIPPED
from adu_bench.registry.manifest import MethodEntry

CARD = """    card = Card(
        name="{name}",
        group="other",
        title="{name}",
        authors="unknown",
        year={year},
        paper="none",
        licence="MIT",
        notes="Started as a copy of {like}: say here what differs, and where each value comes from.",
    )"""

TEST = '''"""{name} keeps the contract that the harness relies on."""

from pathlib import Path

import pytest

from adu_bench.conformance import CHECKS, Subject
from adu_bench.registry import Catalogue


@pytest.fixture(scope="module")
def subject():
    file = Path(__file__).with_name("{file}")
    return Subject(Catalogue([file]).select(["{name}"])[0], "cpu")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, subject):
    check(subject)
'''


def method_text(entry: MethodEntry, name: str, year: int) -> str:
    """Return the text of a method's file under a new name: with a new card, without presets, classes renamed.

    Parameters
    ----------
    entry
        The method to start from.
    name
        The new method's name, for example ``my-method``.
    year
        Year on the card.
    """
    text, tree = entry.source, ast.parse(entry.source)
    lines = text.splitlines()
    owner = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == entry.class_name)
    replaced: list[tuple[tuple[int, int], str]] = []
    for statement in owner.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            target = statement.targets[0].id
            if target == "card":
                replaced.append((_span(statement), CARD.format(name=name, year=year, like=entry.name)))
            elif target == "presets":
                replaced.append((_span(statement), ""))
    first = tree.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        replaced.append((_span(first), f'"""{name}: one sentence that says what the method does."""'))
    for (start, end), new in sorted(replaced, reverse=True):
        lines[start:end] = new.splitlines()
    made = re.sub(r"^from \.(?=\w)", f"from {SHIPPED}.", "\n".join(lines) + "\n", flags=re.MULTILINE)
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            new = class_name(name) + ("" if node is owner else node.name)
            made = re.sub(rf"\b{node.name}\b", new, made)
    made = re.sub(r"^    Preset,\n", "", made, flags=re.MULTILINE)
    made = re.sub(r"(import .*)\bPreset, ", r"\1", made)
    return re.sub(r"\n{4,}", "\n\n\n", made)


def test_text(name: str) -> str:
    """Return the text of a test of a method, beside its file."""
    return TEST.format(name=name, file=file_name(name))


def file_name(name: str) -> str:
    """Return the name of a method's file, for example ``my_method.py``."""
    return f"{name.replace('-', '_')}.py"


def class_name(name: str) -> str:
    """Return the name of a method's class, for example ``MyMethod``."""
    return "".join(part.capitalize() for part in name.split("-"))


def _span(node: ast.stmt) -> tuple[int, int]:
    """Return the first line of a statement, from 0, and the line after it."""
    return node.lineno - 1, int(node.end_lineno or node.lineno)
