from __future__ import annotations

import subprocess
import sys

import pytest

from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue, load_class

METHOD = '''"""A method."""
from dataclasses import dataclass
from typing import Literal
from adu_bench.api import Card, Method, Preset

@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    """Do nothing."""

    card = Card(name="mine", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")
    presets = (Preset("mine-too", group="ablation", summary="Do less.", rate=0.5),)
    rate: float = 1.0
    """How fast."""
    kind: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = (1, 2)
    on: bool = False

    def unlearn(self, problem):
        return problem.classifier()
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(METHOD)
    return tmp_path


def choose(folder, text):
    return Catalogue([folder]).select([text])[0]


def test_fields_presets_and_help_are_read_from_the_text(folder):
    catalogue = Catalogue([folder])
    preset, entry = catalogue.presets["mine-too"]
    assert (preset.group, preset.fields) == ("ablation", {"rate": 0.5})
    assert entry.fields["rate"].help == "How fast."
    assert {name: field.kind for name, field in entry.fields.items()}["sizes"] == "tuple[int, ...]"
    assert {"adu", "baseline", "zero-shot"} <= set(catalogue.presets)


def test_all_leaves_ablations_out_and_labels_are_unique(folder):
    catalogue = Catalogue([folder])
    labels = [choice.label for choice in catalogue.select(["all,paper,adu"])]
    assert len(labels) == len(set(labels))
    assert "mine" in labels
    assert "mine-too" not in labels


def test_overrides_are_typed_sorted_and_canonical(folder):
    choice = choose(folder, "mine[on=yes, rate=2,kind=b,sizes=(3,4)]")
    assert choice.label == "mine[kind=b,on=yes,rate=2.0,sizes=(3,4)]"
    fields = dict(choice.resolve({"rate": 9.0, "unknown": 1}, {}).fields)
    assert fields == {"rate": 2.0, "kind": "b", "sizes": (3, 4), "on": True}


def test_values_come_from_default_budget_preset_settings_and_user_in_this_order(folder):
    def rate(text, budget, settings):
        return dict(choose(folder, text).resolve(budget, settings).fields)["rate"]

    assert rate("mine", {}, {}) == 1.0
    assert rate("mine", {"rate": 2}, {}) == 2.0
    assert rate("mine-too", {"rate": 2}, {}) == 0.5
    assert rate("mine-too", {"rate": 2}, {"mine-too": {"rate": 4}}) == 4.0
    assert rate("mine-too[rate=5]", {"rate": 2}, {"mine-too": {"rate": 4}}) == 5.0


def test_a_choice_says_which_fields_differ_from_the_files_defaults_and_who_set_them(folder):
    def changed(text, budget=None, settings=None):
        found = choose(folder, text).changed(budget or {}, settings or {})
        return [(field.name, field.default, field.value, field.origin) for field in found]

    assert changed("mine") == []
    assert changed("mine", {"rate": 1, "on": False, "unknown": 3}) == []
    assert changed("mine", {"rate": 2}) == [("rate", 1.0, 2.0, "budget")]
    assert changed("mine", {"rate": 2, "mine": {"rate": 3, "on": True}}) == [
        ("rate", 1.0, 3.0, "budget"),
        ("on", False, True, "budget"),
    ]
    assert changed("mine-too", {"rate": 2}, {"mine": {"kind": "b"}}) == [
        ("rate", 1.0, 0.5, "preset"),
        ("kind", "a", "b", "tuned"),
    ]
    assert changed("mine-too", {}, {"mine-too": {"rate": 4}}) == [("rate", 1.0, 4.0, "tuned")]
    assert changed("mine-too[rate=5]", {}, {"mine-too": {"rate": 4}}) == [("rate", 1.0, 5.0, "given")]
    assert changed("mine[rate=1]", {"rate": 2}) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mien", "Did you mean mine"),
        ("mine[rat=1]", "no field of mine called 'rat'.*Did you mean rate"),
        ("mine[rate=fast]", "'fast' is not a valid value for rate"),
        ("mine[rate=nan]", "not a valid value"),
        ("mine[kind=c]", "not a valid value"),
        ("mine[on=maybe]", "not a valid value"),
        ("mine[sizes=3]", "not a valid value"),
        ("mine[sizes=(3]", "not a valid value"),
        ("mine[sizes=(3,'x')]", "not a valid value"),
        ("mine[rate]", "not a choice of methods"),
        ("mine[rate=1", "not a choice of methods"),
        ("mine]", "not a choice of methods"),
    ],
)
def test_bad_choices_are_refused(folder, text, complaint):
    with pytest.raises(UserError, match=complaint):
        choose(folder, text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def f(:\n", "invalid syntax, line 1"),
        (METHOD.replace("year=2026", "year=YEAR"), "year of Mine is not a literal"),
        (METHOD.replace("rate: float = 1.0", "rate: float"), "no default"),
        (METHOD.replace('group="other"', 'group="best"'), "not one of"),
        (METHOD.replace("rate=0.5", "rote=0.5"), "not a field of Mine"),
        (METHOD.replace('    """Do nothing."""\n', ""), "no docstring"),
        (METHOD.replace(' summary="Do less.",', ""), "Preset(...) of Mine has no summary"),
        (METHOD.replace("on: bool", "ranges = 3\n    on: bool"), "not a mapping"),
        (METHOD.replace("on: bool", 'ranges = {"rate": 3}\n    on: bool'), "neither"),
        (METHOD.replace("on: bool", 'ranges = {"rate": ("a", "b")}\n    on: bool'), "0 < low < high"),
        (METHOD.replace("on: bool", "ranges = {}\n    ranges = f()\n    on: bool"), "assigns ranges twice, line"),
        (METHOD.replace("@dataclass(frozen=True, kw_only=True)\n", ""), "lacks the line @dataclass"),
        (f"# coding: no-such\n{METHOD}", "not text in its declared encoding"),
        (f"x = {'-' * 20000}1\n{METHOD}", "nested too deeply"),
    ],
)
def test_broken_files_are_listed_with_the_reason_and_others_work(folder, text, reason):
    (folder / "bad_one.py").write_text(text.replace('"mine', '"bad'))
    catalogue = Catalogue([folder])
    (broken,) = catalogue.broken
    assert reason in broken.reason
    assert "mine" in catalogue.presets
    with pytest.raises(UserError, match="is broken"):
        catalogue.select(["bad-one"])


def test_two_methods_of_one_name_are_refused(folder):
    (folder / "again.py").write_text(METHOD)
    with pytest.raises(UserError, match="Two methods are called 'mine'"):
        Catalogue([folder])


def test_reading_does_not_import(folder):
    (folder / "loud.py").write_text("raise SystemExit('imported')\n")
    Catalogue([folder])


def test_a_file_that_does_not_import_says_so(folder):
    (folder / "late.py").write_text(METHOD.replace('"mine', '"late').replace('"""A method."""', "import nothing_such"))
    choice = choose(folder, "late")
    with pytest.raises(UserError, match="nothing_such"):
        load_class(choice.entry.path, "Mine", choice.resolve({}, {}).source_hash)


def test_a_file_that_changed_after_planning_is_refused(folder):
    choice = choose(folder, "mine")
    (folder / "mine.py").write_text(METHOD.replace("rate: float = 1.0", "rate: float = 3.0"))
    with pytest.raises(UserError, match="changed after the run was planned"):
        load_class(choice.entry.path, "Mine", choice.resolve({}, {}).source_hash)


def test_a_budget_of_another_type_is_refused(folder):
    with pytest.raises(UserError, match="'many' is not a valid value for the field 'rate'"):
        choose(folder, "mine").resolve({"rate": "many"}, {})


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package whose entry point names a module of it."""

    def installed(name: str, module: str, text: str, **files: str) -> None:
        site = tmp_path / "site"
        package, info = site / "plugin_pack", site / "plugin_pack-1.dist-info"
        package.mkdir(parents=True)
        info.mkdir()
        (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
        for file, content in {"mine": text, **files}.items():
            (package / f"{file}.py").write_text(content)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-pack\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[adu_bench.methods]\n{name} = {module}\n")
        monkeypatch.syspath_prepend(str(site))

    return installed


def test_an_installed_method_is_found_without_importing_its_package(install):
    install("mine", "plugin_pack.mine", METHOD)
    assert "mine-too" in Catalogue().presets


@pytest.mark.parametrize("line", ["from plugin_pack.helper import x", "from .helper import x", "import helper"])
def test_modules_beside_an_installed_method_are_part_of_its_digest(install, tmp_path, line):
    install("mine", "plugin_pack.mine", METHOD.replace("from typing", f"{line}\nfrom typing", 1), helper="x = 1\n")
    entry = Catalogue().presets["mine"][1]
    assert [module.name for module in entry.modules] == ["", "helper"]
    assert load_class(entry.path, entry.class_name, entry.source_hash).__name__ == "Mine"
    (tmp_path / "site" / "plugin_pack" / "helper.py").write_text("x = 2\n")
    assert Catalogue().presets["mine"][1].source_hash != entry.source_hash


@pytest.mark.parametrize(
    ("module", "text", "reason"),
    [
        ("plugin_pack.mine", f"from plugin_pack import x\n{METHOD}", "no module 'x' beside the method's file"),
        ("plugin_pack.gone", METHOD, "no module plugin_pack.gone"),
        ("no_such_pack.mine", METHOD, "no module no_such_pack.mine"),
        ("plugin_pack.mine", METHOD.replace('"mine"', '"adu"'), "Two methods are called 'adu'"),
        ("plugin_pack.mine", "def f(:\n", "invalid syntax"),
    ],
)
def test_a_broken_plugin_stops_nothing(install, module, text, reason):
    install("mine", module, text)
    catalogue = Catalogue()
    assert [reason in broken.reason for broken in catalogue.broken] == [True]
    assert "baseline" in catalogue.presets


def test_planning_never_imports_torch():
    code = """
import sys
import adu_bench.metrics.frame, adu_bench.report.pages, adu_bench.report.terminal.boards, adu_bench.workflows.run
import adu_bench.workflows.tune, adu_bench.workflows.verify, adu_bench.workflows.artefacts
from adu_bench.registry import Catalogue
from adu_bench.runner.plan import plan
from adu_bench.suites import load_suite
plan(load_suite("toy"), Catalogue().select(["all"]))
assert not {"torch", "open_clip"} & set(sys.modules), "torch was imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True)
