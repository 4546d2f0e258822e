"""A class of a notebook becomes a file with all that it uses, or is refused with the reason."""

import linecache
import sys
from types import ModuleType

import pytest

from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue
from adu_bench.registry.live_class import method_file

HEAD = """
from dataclasses import dataclass
import numpy as np
from typing import ClassVar, Literal
from adu_bench.api import Card, Method, Problem
"""
METHOD = """
@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    \"\"\"A summary.\"\"\"

    card = Card(name="mine", group="other", title="t", authors="a", year=2026, paper="", licence="MIT")
    kind: Literal["a", "b"] = "a"

    def unlearn(self, problem: Problem):
        frame = 1
        return helper(problem) + np.float32(frame)
"""
HELPER = "DEPTH = 3\n\ndef helper(problem):\n    return DEPTH\n"


@pytest.fixture
def notebook(monkeypatch):
    """Run cells as a notebook does: in ``__main__``, with their sources in the line cache."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)

    def run(*cells):
        for cell in cells:
            name = f"<cell {len(linecache.cache)}>"
            linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
            exec(compile(cell, name, "exec"), vars(main))
        return vars(main)

    return run


def refused(kind, folder):
    with pytest.raises(UserError) as caught:
        method_file(kind, folder)
    return f"{caught.value.why} {caught.value.remedy}"


def test_the_file_has_what_the_class_uses_and_nothing_else(notebook, tmp_path):
    names = notebook(HEAD, HELPER, "import os\nunused = object()\nframe = object()", METHOD)
    path = method_file(names["Mine"], tmp_path)
    text = path.read_text()
    assert "DEPTH = 3" in text
    assert text.index("def helper") < text.index("class Mine")
    assert "unused" not in text
    assert "import os" not in text
    (entry,) = Catalogue([path], shipped=False).presets.values()
    assert entry[1].fields["kind"].default == "a"


def test_the_key_follows_a_helper_and_a_constant_and_the_latest_cell(notebook, tmp_path):
    def digest():
        return (
            Catalogue([method_file(vars(sys.modules["__main__"])["Mine"], tmp_path)], shipped=False)
            .presets["mine"][1]
            .source_hash
        )

    notebook(HEAD, HELPER, METHOD)
    first = digest()
    notebook("# a comment\n" + METHOD)
    assert digest() == first
    notebook("DEPTH = 4")
    second = digest()
    notebook(HELPER.replace("return DEPTH", "return DEPTH + 1"), "DEPTH = 4")
    assert len({first, second, digest()}) == 3


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["data = object()", METHOD.replace("helper(problem)", "data")], "uses data, an object of type object"),
        (["helper = lambda problem: 1", METHOD], "uses <lambda> under another name, helper"),
        (
            ["def outer():\n    def helper(p): return 1\n    return helper\nhelper = outer()", METHOD],
            "not defined at the",
        ),
    ],
)
def test_what_cannot_be_written_down_is_refused_with_its_name(notebook, tmp_path, cells, reason):
    assert reason in refused(notebook(HEAD, *cells)["Mine"], tmp_path)


def test_a_class_without_a_source_is_refused(notebook, tmp_path):
    names = notebook(HEAD, HELPER)
    exec(compile(METHOD, "<nowhere>", "exec"), names)
    assert "source of Mine cannot be read" in refused(names["Mine"], tmp_path)


def test_a_module_of_the_user_is_refused_since_the_key_would_not_cover_it(notebook, tmp_path, monkeypatch):
    (tmp_path / "beside_the_notebook.py").write_text("def helper(problem): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    names = notebook(HEAD, "from beside_the_notebook import helper", METHOD)
    assert "your module beside_the_notebook" in refused(names["Mine"], tmp_path)


def test_a_class_of_a_module_is_in_its_own_file(tmp_path, monkeypatch):
    (tmp_path / "of_a_module.py").write_text(HEAD + HELPER + METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    from of_a_module import Mine

    assert method_file(Mine, tmp_path / "written") == tmp_path / "of_a_module.py"
    assert not (tmp_path / "written").exists()
