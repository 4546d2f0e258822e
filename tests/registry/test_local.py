from __future__ import annotations

import pickle
import shutil
from dataclasses import fields

import pytest

from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue, MethodSource, load_class, method_source
from adu_bench.registry.local import Follower
from adu_bench.registry.manifest import read_methods

HEAD = "from dataclasses import dataclass\nfrom adu_bench.api import Card, Method, Preset\n"
CLASS = '''
@dataclass(frozen=True, kw_only=True)
class {name}({base}):
    """Do nothing."""

    card = Card(name="{card}", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")
{body}
    def unlearn(self, problem):
        return {answer}
'''


def method(imports: str = "", base: str = "Method", body: str = "", answer: str = "0", card: str = "mine") -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return HEAD + imports + "\n" + CLASS.format(name="Mine", base=base, card=card, body=lines, answer=answer)


def write(folder, files: dict[str, str]):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def source_hash(folder, label: str = "mine") -> str:
    return Catalogue([folder], shipped=False).select([label])[0].resolve({}, {}).source_hash


def answer(folder, label: str = "mine"):
    entry = Catalogue([folder], shipped=False).presets[label][1]
    return load_class(entry.path, entry.class_name, entry.source_hash)().unlearn(None)


def answer_elsewhere(folder, monkeypatch, label: str = "mine"):
    """Return the answer of a machine that has none of the folder's files."""
    entry = Catalogue([folder], shipped=False).presets[label][1]
    sent = pickle.dumps(method_source(entry.path, entry.source_hash))
    assert str(folder).encode() not in sent
    monkeypatch.setenv("ADU_BENCH_CACHE", str(folder.parent / f"{folder.name}-cache"))
    shutil.rmtree(folder)
    return load_class(pickle.loads(sent).locate(), entry.class_name, entry.source_hash)().unlearn(None)


INNER = {"helper/__init__.py": "", "helper/inner.py": "value = lambda: 7"}


@pytest.mark.parametrize(
    ("imports", "call", "files"),
    [
        ("from .helper import value", "value()", {"helper.py": "def value(): return 7"}),
        ("from . import helper", "helper.value()", {"helper.py": "def value(): return 7"}),
        ("import helper", "helper.value()", {"helper.py": "def value(): return 7"}),
        ("import helper as other", "other.value()", {"helper.py": "def value(): return 7"}),
        ("from helper import value", "value()", {"helper.py": "def value(): return 7"}),
        ("from helper import inner", "inner.value()", INNER),
        ("import helper.inner as inner", "inner.value()", {"helper/inner.py": "value = lambda: 7"}),
        ("from .helper.inner import value", "value()", {"helper/inner.py": "value = lambda: 7"}),
        ("from .helper import value", "value()", {"helper/__init__.py": "value = lambda: 7"}),
        ("from helper import value", "value()", {**INNER, "helper/__init__.py": "from .inner import value"}),
        (
            "from helper.inner import value",
            "value()",
            {"helper/__init__.py": "", "helper/inner.py": "import low\nvalue = lambda: low.x", "low.py": "x = 7"},
        ),
    ],
)
def test_a_local_module_can_be_imported_and_is_part_of_the_digest(tmp_path, imports, call, files, monkeypatch):
    write(tmp_path, {"mine.py": method(imports, answer=call), **files})
    assert answer(tmp_path) == 7
    before = source_hash(tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(f"# A comment.\n{text}\n")
    assert source_hash(tmp_path) == before
    name = next(name for name, text in files.items() if "7" in text)
    (tmp_path / name).write_text(files[name].replace("7", "8"))
    assert source_hash(tmp_path) != before
    assert answer(tmp_path) == 8, "the hashed text is the one that runs"
    assert answer_elsewhere(tmp_path, monkeypatch) == 8, "the code travels with its hash"


def test_an_import_inside_a_function_is_followed_and_works_later(tmp_path):
    files = {"mine.py": method(answer="late()") + "\ndef late():\n    import helper\n    return helper.x\n"}
    write(tmp_path, {**files, "helper.py": "x = 7"})
    before = source_hash(tmp_path)
    assert answer(tmp_path) == 7
    (tmp_path / "helper.py").write_text("x = 8")
    assert source_hash(tmp_path) != before


def test_helpers_of_one_name_in_two_folders_do_not_clash(tmp_path):
    for name, value in (("one", 1), ("two", 2)):
        write(tmp_path / name, {f"{name}.py": method("import helper", answer="helper.x", card=name)})
        write(tmp_path / name, {"helper.py": f"x = {value}"})
    folders = [tmp_path / "one", tmp_path / "two"]
    catalogue = Catalogue(folders, shipped=False)
    found = [catalogue.presets[name][1] for name in ("one", "two")]
    assert [load_class(e.path, e.class_name, e.source_hash)().unlearn(None) for e in found] == [1, 2]


def test_the_names_of_the_folder_and_of_the_methods_file_do_not_matter(tmp_path):
    text = method("from .helper import x", answer="x")
    write(tmp_path / "one", {"mine.py": text, "helper.py": "x = 1"})
    write(tmp_path / "two", {"method.py": text, "helper.py": "x = 1"})
    assert source_hash(tmp_path / "one") == source_hash(tmp_path / "two")


def test_a_local_module_that_changed_after_planning_is_refused(tmp_path):
    write(tmp_path, {"mine.py": method("import helper", answer="helper.x"), "helper.py": "x = 1"})
    planned = source_hash(tmp_path)
    (tmp_path / "helper.py").write_text("x = 2")
    with pytest.raises(UserError, match=r"changed after the run was planned[\s\S]*a module beside it"):
        load_class(tmp_path / "mine.py", "Mine", planned)


def test_a_module_that_fails_can_be_corrected_and_loaded_in_the_same_process(tmp_path):
    write(tmp_path, {"mine.py": method("import helper", answer="helper.x"), "helper.py": "x = 1 / 0"})
    with pytest.raises(UserError, match="ZeroDivisionError"):
        answer(tmp_path)
    (tmp_path / "helper.py").write_text("x = 1")
    assert answer(tmp_path) == 1


@pytest.mark.parametrize(
    ("imports", "reason"),
    [
        ("from .gone import x", "line 3: there is no module 'gone'"),
        ("from . import x", "there is no module 'x'"),
        ("from ..other import x", "from outside the method's folder"),
        ("from .helper import *", "name those that it uses"),
        ("from helper import *", "name those that it uses"),
        ("import helper.inner", "write 'import helper.inner as name'"),
        ("import json", "both a module beside the file and one of Python"),
        ("from json import dumps", "both a module beside the file and one of Python"),
        ("import importlib", "'importlib' can import code that is not part of the key"),
        ("from importlib import import_module", "can import code"),
        ("import importlib.util", "can import code"),
        ("import runpy", "can import code"),
        ("import sys\nsys.path.insert(0, '.')", "'sys.path' can import code"),
        ("x = __import__('helper')", "can import code"),
        ("import adu_bench._methods as shipped", "as a whole"),
        ("from adu_bench._methods import gone", "there is no module 'gone'"),
        ("from back import x", "back.py, line 1: it imports the method's file"),
        ("import damaged", "damaged.py: invalid syntax, line 1"),
    ],
)
def test_imports_that_cannot_be_followed_are_refused_when_the_file_is_read(tmp_path, imports, reason):
    write(tmp_path, {"mine.py": method(imports), "helper/__init__.py": "", "helper/inner.py": "", "json.py": ""})
    write(tmp_path, {"back.py": "from .mine import Mine\n", "damaged.py": "def f(:\n"})
    (broken,) = (each for each in Catalogue([tmp_path / "mine.py"], shipped=False).broken)
    assert reason in broken.reason


@pytest.mark.parametrize(
    "line", ["from importlib.metadata import version", "import importlib.resources as r", "import sys"]
)
def test_libraries_are_not_local(tmp_path, line):
    write(tmp_path, {"mine.py": method(line)})
    assert [module.name for module in Follower(tmp_path / "mine.py").modules()] == [""]


def test_modules_of_an_installed_single_file_method_are_libraries(tmp_path):
    write(tmp_path / "site-packages", {"mine.py": method("import library"), "library/__init__.py": "x = 1"})
    assert [module.name for module in Follower(tmp_path / "site-packages" / "mine.py").modules()] == [""]


def test_a_module_of_the_same_name_in_the_working_directory_does_not_matter(tmp_path, monkeypatch):
    write(
        tmp_path,
        {"helper.py": "x = 1", "mine/mine.py": method("import helper", answer="helper.x"), "mine/helper.py": "x = 2"},
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    assert answer(tmp_path / "mine") == 2


def test_a_file_in_another_encoding_is_read_as_python_reads_it(tmp_path):
    text = method().replace("Do nothing", "Do n\u00f6thing")
    (tmp_path / "mine.py").write_bytes(f"# coding: latin-1\n{text}".encode("latin-1"))
    assert read_methods(tmp_path / "mine.py")[0].presets[0].summary == "Do n\u00f6thing."


BASE = '''
rate: float = 1.0
"""How fast."""
kind: str = "a"
ranges = {"rate": (0.1, 10.0)}
'''
OTHER = method(body=BASE, card="base", answer="(self.rate, self.kind)").replace("Mine", "Base")


@pytest.mark.parametrize(
    ("imports", "base"),
    [
        ("from .base import Base", "Base"),
        ("from base import Base as Other", "Other"),
        ("import base", "base.Base"),
        ("from . import base", "base.Base"),
        ("from between import Base", "Base"),
    ],
)
def test_fields_and_ranges_of_a_base_in_another_file_are_seen(tmp_path, imports, base):
    own = method(imports, base, 'kind: str = "b"\nmore: int = 3', answer="(self.rate, self.kind, self.more)")
    write(tmp_path, {"base.py": OTHER, "between.py": "from base import Base\n", "mine.py": own})
    catalogue = Catalogue([tmp_path], shipped=False)
    assert catalogue.broken == []
    entry = catalogue.presets["mine"][1]
    assert {name: field.default for name, field in entry.fields.items()} == {"rate": 1.0, "kind": "b", "more": 3}
    assert entry.fields["rate"].help == "How fast."
    assert entry.ranges == {"rate": (0.1, 10.0)}
    cls = load_class(entry.path, entry.class_name, entry.source_hash)
    assert [field.name for field in fields(cls)] == list(entry.fields)
    spec = catalogue.select(["mine[rate=2]"])[0].resolve({}, {})
    assert cls(**dict(spec.fields)).unlearn(None) == (2.0, "b", 3)
    before = source_hash(tmp_path)
    (tmp_path / "base.py").write_text(OTHER.replace("return (self", "return 2 * (self"))
    assert source_hash(tmp_path) != before


def test_a_method_in_the_users_folder_extends_a_shipped_one(tmp_path):
    write(
        tmp_path, {"mine.py": method("from adu_bench._methods.baseline import Baseline", "Baseline", "lr: float = 0.5")}
    )
    entry = Catalogue([tmp_path]).presets["mine"][1]
    assert {"epochs", "lr", "crop"} <= set(entry.fields)
    assert entry.fields["lr"].default == 0.5
    assert entry.ranges == {"lr": (1e-3, 3e-1)}
    assert "adu_bench.api:uniform_ce" in entry.imports, "the parts of the core that the base uses count too"
    cls = load_class(entry.path, entry.class_name, entry.source_hash)
    assert [kind.__name__ for kind in cls.__mro__][:3] == ["Mine", "Baseline", "Method"]


def test_several_bases_are_ordered_as_python_orders_them(tmp_path):
    text = """
@dataclass(frozen=True, kw_only=True)
class Top(Method):
    a: int = 1
    b: int = 1

@dataclass(frozen=True, kw_only=True)
class Left(Top):
    a: int = 2

@dataclass(frozen=True, kw_only=True)
class Right(Top):
    a: int = 3
    b: int = 3

class Plain:
    hidden = 4
"""
    write(tmp_path, {"mine.py": method(text, "Left, Right, Plain")})
    entry = Catalogue([tmp_path], shipped=False).presets["mine"][1]
    cls = load_class(entry.path, entry.class_name, entry.source_hash)
    wanted = [(field.name, field.default) for field in fields(cls)]
    assert [(name, field.default) for name, field in entry.fields.items()] == wanted == [("a", 2), ("b", 1)]


@pytest.mark.parametrize(
    ("text", "base", "reason"),
    [
        ("", "Gone", "the base Gone of Mine cannot be found in the text"),
        ("Gone = Method", "Gone", "the base Gone of Mine cannot be found in the text"),
        ("import helper", "helper.Gone", "the base helper.Gone of Mine cannot be found"),
        ("class A(Method): ...\nclass B(A): ...", "A, B", "no consistent order"),
        ("from helper import Mine", "Mine", "its own base in the text"),
    ],
)
def test_a_base_that_cannot_be_read_is_refused(tmp_path, text, base, reason):
    write(tmp_path, {"mine.py": method(text, base), "helper.py": "class Mine: ...\n"})
    (broken,) = Catalogue([tmp_path], shipped=False).broken
    assert reason in broken.reason


def test_a_method_that_imports_its_installed_package_travels_by_name(tmp_path, monkeypatch):
    files = {"zoo/__init__.py": "", "zoo/helper.py": "x = 7"}
    write(tmp_path, {**files, "zoo/mine.py": method("from zoo.helper import x", answer="x")})
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = Catalogue([tmp_path / "zoo"], shipped=False).presets["mine"][1]
    source = method_source(entry.path, entry.source_hash)
    assert source == MethodSource("mine.py", "zoo")
    assert source.locate() == tmp_path / "zoo" / "mine.py"
    with pytest.raises(UserError, match="Install the package that contains 'aviary'"):
        MethodSource("mine.py", "aviary").locate()


def test_a_folder_without_init_travels_although_nothing_of_it_is_imported(tmp_path, monkeypatch):
    """Such a folder counts as a module because of a file of Python in it, which the method need not use."""
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path / "cache"))
    files = {"parts/other.py": "y = 2", "parts/deep/inner.py": "x = 7"}
    write(tmp_path / "home", {**files, "mine.py": method("from .parts.deep.inner import x", answer="x")})
    entry = Catalogue([tmp_path / "home"], shipped=False).presets["mine"][1]
    path = method_source(entry.path, entry.source_hash).locate()
    assert path.is_relative_to(tmp_path / "cache")
    assert load_class(path, "Mine", entry.source_hash)().unlearn(None) == 7
