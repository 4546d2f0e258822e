"""Modules import only from their layer or lower ones; the layers are declared in pyproject.toml."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["adu_bench"]["layers"]


def rank(module: str) -> int | None:
    for place, layer in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}.") for name in layer):
            return place
    return None


TREES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text())
    for path in sorted((ROOT / "adu_bench").rglob("*.py"))
}
PLAIN = {name.removesuffix(".__init__") for name in TREES}


def imported(tree: ast.AST) -> list[tuple[str, str]]:
    """Return the modules that a tree imports, with the name imported from each."""
    return [
        (module, member)
        for node in ast.walk(tree)
        for module, member in (
            [(node.module or "", alias.name) for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else [(alias.name, "") for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    ]


IMPORTED = {name.removesuffix(".__init__"): imported(tree) for name, tree in TREES.items()}


def own(found: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the imports from the package itself."""
    return [(module, member) for module, member in found if module.partition(".")[0] == "adu_bench"]


def test_each_module_is_in_a_layer():
    assert not [
        name for name in sorted(PLAIN) if rank(name) is None and name not in ("adu_bench", "adu_bench.__main__")
    ]


def test_a_module_imports_from_its_own_layer_or_below():
    upward = [
        f"{name} imports {target}"
        for name, found in IMPORTED.items()
        if (place := rank(name)) is not None
        for target, _ in own(found)
        if target != "adu_bench" and ((other := rank(target)) is None or other < place)
    ]
    assert not upward


def test_methods_import_the_api_only():
    files = sorted((ROOT / "methods").glob("*.py"))
    used = {path.stem: {module for module, _ in own(imported(ast.parse(path.read_text())))} for path in files}
    assert used
    assert not {name: modules for name, modules in used.items() if not modules <= {"adu_bench.api"}}


def test_only_clip_and_pretraining_import_open_clip():
    users = {
        name for name, found in IMPORTED.items() if any(module.partition(".")[0] == "open_clip" for module, _ in found)
    }
    assert users
    assert not [name for name in users if not name.startswith(("adu_bench.clip", "adu_bench.pretraining"))]


def test_no_modules_import_each_other():
    """Imports at the top of a module and inside functions count alike."""
    graph = {
        name: {
            full if full in PLAIN else module
            for module, member in own(found)
            if (full := f"{module}.{member}") in PLAIN or module in PLAIN
        }
        for name, found in IMPORTED.items()
    }
    TopologicalSorter(graph).prepare()


def test_no_module_is_longer_than_400_lines():
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "adu_bench").rglob("*.py")}
    assert not {str(path): length for path, length in lengths.items() if length > 400}


def test_results_can_be_read_where_torch_is_not_installed(tmp_path):
    """Modules called torch and open_clip that fail on import simulate their absence."""
    for name in ("torch", "open_clip"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not installed')\n")
    lines = ["list methods", "show adu", "run --suite toy --dry", "list metrics --json", "list audits"]
    code = f"from adu_bench.cli.main import main\nfor line in {lines}:\n    assert main(line.split()) == 0, line"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
    assert shutil.which("adu-bench"), "the command is not installed"
