"""Modules import only from their layer or lower ones; the layers are declared in pyproject.toml."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["adu_bench"]["layers"]


def rank(module: str) -> int | None:
    for place, layer in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}.") for name in layer):
            return place
    return None


def imported(path: Path) -> list[tuple[str, str]]:
    """Return the modules of the package that a file imports, with the name imported from each."""
    return [
        (module, member)
        for node in ast.walk(ast.parse(path.read_text()))
        for module, member in (
            [(node.module or "", alias.name) for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else [(alias.name, "") for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        if module.startswith("adu_bench")
    ]


def imports(path: Path) -> list[str]:
    return [module for module, _ in imported(path)]


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted((ROOT / "adu_bench").rglob("*.py"))
}


PLAIN = {name.removesuffix(".__init__") for name in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_layer_or_below(module):
    name = module.removesuffix(".__init__")
    if name in ("adu_bench", "adu_bench.__main__"):
        return
    own = rank(name)
    assert own is not None, f"{name} is in no layer"
    for target in imports(MODULES[module]):
        if target != "adu_bench":
            other = rank(target)
            assert other is not None, f"{target} is in no layer"
            assert other >= own, f"{name} imports {target}, which is above it"


@pytest.mark.parametrize("path", sorted((ROOT / "methods").glob("*.py")), ids=lambda path: path.stem)
def test_methods_import_the_api_only(path):
    assert set(imports(path)) <= {"adu_bench.api"}


@pytest.mark.parametrize(
    "module", [name for name in MODULES if not name.startswith(("adu_bench.clip", "adu_bench.pretraining"))]
)
def test_only_clip_and_pretraining_import_open_clip(module):
    tree = ast.parse(MODULES[module].read_text())
    names = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    } | {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "open_clip" not in names


def test_no_modules_import_each_other():
    """Imports at the top of a module and inside functions count alike."""
    graph = {
        name.removesuffix(".__init__"): {
            full if full in PLAIN else module
            for module, member in imported(path)
            if (full := f"{module}.{member}") in PLAIN or module in PLAIN
        }
        for name, path in MODULES.items()
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_400_lines(module):
    assert len(MODULES[module].read_text().splitlines()) <= 400


def test_results_can_be_read_where_torch_is_not_installed(tmp_path):
    """Modules called torch and open_clip that fail on import simulate their absence."""
    for name in ("torch", "open_clip"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not installed')\n")
    command = [sys.executable, "-m", "adu_bench"]
    for arguments in (
        ["list", "methods"],
        ["show", "adu"],
        ["run", "--suite", "toy", "--dry"],
        ["list", "metrics", "--json"],
        ["list", "audits"],
    ):
        subprocess.run([*command, *arguments], check=True, cwd=tmp_path, capture_output=True)
    assert shutil.which("adu-bench"), "the command is not installed"
