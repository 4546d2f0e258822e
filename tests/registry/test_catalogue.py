from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

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
        ("mine[rate=fast]", "'fast' is not a valid value for the field 'rate'"),
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
        (
            METHOD.replace("on: bool", 'ranges = {"count": (1, 9)}\n    count: int = 2\n    on: bool'),
            "a value in the range of count is 3.0, but count is int",
        ),
        (
            METHOD.replace("on: bool", 'ranges = {"kind": ["a", "c"]}\n    on: bool'),
            "a value in the range of kind is 'c'",
        ),
        (
            METHOD.replace("on: bool", 'bounds = {"rate": "< 1"}\n    on: bool'),
            "the default of rate is 1.0, but rate is",
        ),
        (METHOD.replace("on: bool", 'bounds = {"rate": "> 0.5"}\n    on: bool'), "rate of the preset bad-too is 0.5"),
        (
            METHOD.replace("on: bool", 'bounds = {"rate": "<= 5"}\n    ranges = {"rate": (0.1, 10.0)}\n    on: bool'),
            "a value in the range of rate is 10.0, but rate is float, <= 5",
        ),
        (METHOD.replace("on: bool", 'bounds = {"rote": "> 0"}\n    on: bool'), "contains rote, which is not a field"),
        (METHOD.replace("on: bool", 'bounds = {"kind": "> 0"}\n    on: bool'), "contains kind, which is not a number"),
        (METHOD.replace("on: bool", 'bounds = {"rate": 0}\n    on: bool'), "bounds of rate: 0 is not of the form"),
        (METHOD.replace("on: bool", "bounds = [1]\n    on: bool"), "bounds of Mine is not a mapping"),
        (METHOD.replace("on: bool = False", "on: bool = 1"), "the default of on is 1, but on is bool"),
        (METHOD.replace("rate=0.5", "rate='x'"), "rate of the preset bad-too is 'x', but rate is float"),
        (METHOD.replace("on: bool = False", "on: dict = 0"), "the type dict of the field on of Mine is not bool, int"),
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


def test_a_broken_method_is_found_by_its_name_as_well(folder):
    (folder / "other.py").write_text(METHOD.replace('"mine', '"named').replace("@dataclass", "# dataclass"))
    with pytest.raises(UserError, match=r"other.py' is broken. Mine has fields but lacks the line @dataclass"):
        Catalogue([folder]).select(["named"])


def test_a_class_without_a_card_is_named(folder):
    text = 'from adu_bench.api import Method\n\nclass Blurred(Method):\n    """Blur."""\n'
    (folder / "blurred.py").write_text(text)
    with pytest.raises(UserError, match=r"The class Blurred in '.*blurred.py' has no card") as caught:
        Catalogue([folder / "blurred.py"]).select(["blurred"])
    # The remedy can be pasted.
    line = caught.value.remedy.partition(": ")[2]
    (folder / "blurred.py").write_text(text.replace("import Method", "import Card, Method") + f"    {line}\n")
    assert "my-method" in Catalogue([folder / "blurred.py"]).presets


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


BOUNDED = METHOD.replace("    rate:", '    bounds = {"rate": ">= 0.5, <= 9", "sizes": "> 0"}\n    rate:')


@pytest.fixture
def bounded(tmp_path):
    (tmp_path / "mine.py").write_text(BOUNDED)
    return tmp_path


@pytest.mark.parametrize(
    ("budget", "settings", "value", "remedy"),
    [
        ({"rate": "many"}, {}, "many", "In the suite's budget write rate: 1.0."),
        ({"rate": -5}, {}, "-5", "In the suite's budget write rate: 1.0."),
        ({"rate": True}, {}, "yes", "In the suite's budget write rate: 1.0."),
        ({"mine": {"rate": 10}}, {}, "10", "In the suite's budget write mine: {rate: 1.0}."),
        ({}, {"mine-too": {"rate": float("nan")}}, "nan", "of --settings, write mine-too: {rate: 1.0}."),
        ({}, {"mine": {"rate": 0.4}}, "0.4", "of --settings, write mine: {rate: 1.0}."),
    ],
)
def test_a_suites_impossible_values_are_refused_with_a_remedy_to_paste(bounded, budget, settings, value, remedy):
    with pytest.raises(UserError) as caught:
        choose(bounded, "mine-too").resolve(budget, settings)
    assert caught.value.what == f"'{value}' is not a valid value for the field 'rate' of mine."
    assert caught.value.why == "Allowed values: float, >= 0.5, <= 9; the default is 1.0."
    assert remedy in caught.value.remedy


def test_the_remedies_can_be_used(bounded):
    choice = choose(bounded, "mine")
    for values in ({"rate": 0}, {"sizes": [0]}, {"kind": "c"}, {"on": "maybe"}):
        with pytest.raises(UserError) as caught:
            choice.resolve(values, {})
        remedy = caught.value.remedy.removeprefix("In the suite's budget write ").removesuffix(".")
        choice.resolve(yaml.safe_load(remedy), {})
    with pytest.raises(UserError) as caught:
        choose(bounded, "mine[sizes=(1,-2)]")
    assert (
        choose(bounded, caught.value.remedy.removeprefix("For example ").removesuffix(".")).label == "mine[sizes=(1,2)]"
    )


@pytest.mark.parametrize(
    "text", ["mine[rate=0.4]", "mine[rate=9.1]", "mine[rate=-1]", "mine[rate=inf]", "mine[sizes=(0,)]"]
)
def test_overrides_out_of_bounds_are_refused(bounded, text):
    with pytest.raises(UserError, match="Allowed values: "):
        choose(bounded, text)
    for inside in ("mine[rate=0.5]", "mine[rate=9]", "mine[sizes=(1,)]"):
        choose(bounded, inside).resolve({}, {})


def test_a_studys_values_are_checked_and_typed(bounded):
    assert choose(bounded, "mine[on=yes]").with_field("rate", 2).label == "mine[on=yes,rate=2.0]"
    with pytest.raises(UserError, match="In the suite's studies leave out -1"):
        choose(bounded, "mine").with_field("rate", -1)
    with pytest.raises(UserError, match="Did you mean rate"):
        choose(bounded, "mine").with_field("rat", 1)


def test_bounds_are_inherited_with_the_fields(bounded):
    (bounded / "further.py").write_text(
        """from dataclasses import dataclass
from adu_bench.api import Card
from .mine import Mine

@dataclass(frozen=True, kw_only=True)
class Further(Mine):
    \"\"\"Do more.\"\"\"

    card = Card(name="further", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")
    bounds = {"more": ">= 1", "sizes": ">= 5"}
    more: int = 1
    free: float = 1.0
    sizes: tuple[int, ...] = (5,)
"""
    )
    catalogue = Catalogue([bounded])
    assert catalogue.broken == []
    entry = catalogue.presets["further"][1]
    assert {name: field.bounds.text for name, field in entry.fields.items() if field.bounds} == {
        "rate": ">= 0.5, <= 9",
        "sizes": ">= 5",
        "more": ">= 1",
    }
    assert entry.unbounded == ("free",)


@pytest.fixture(scope="module")
def shipped():
    return Catalogue()


def test_every_numeric_field_of_a_shipped_method_has_bounds(shipped):
    entries = {entry.name: entry for _, entry in shipped.presets.values()}
    assert {name: entry.unbounded for name, entry in entries.items() if entry.unbounded} == {}
    assert sum(field.type.numeric for entry in entries.values() for field in entry.fields.values()) > 30


@pytest.mark.parametrize(
    "text",
    [
        *(
            f"{method}[epochs={value}]"
            for method in ("adu", "baseline", "clipfit", "prompt-tuning")
            for value in (-5, 0)
        ),
        *(f"adu[{pair}]" for pair in ("crop=5", "crop=0", "lr=-1", "lr=0", "lr=nan", "gamma=-0.1", "lam=-1")),
        *(f"adu[{pair}]" for pair in ("prompt_depth=0", "prompt_depth=99", "prompt_length=0", "instapg_block=0")),
        *(f"bbf[{pair}]" for pair in ("population=1", "iterations=0", "unique=1", "sigma=-1", "contexts=0")),
        *(f"lp-plus-plus[{pair}]" for pair in ("step=0", "momentum=1", "multiplier_every=0")),
        "coin[steps=0]",
        "domain-gate[weight_decay=-1]",
    ],
)
def test_shipped_methods_refuse_impossible_values(shipped, text):
    with pytest.raises(UserError, match="is not a valid value"):
        shipped.select([text])


def test_published_values_lie_inside_the_ranges(shipped):
    """The defaults of shipped methods are published values."""
    entries = {entry.name: entry for _, entry in shipped.presets.values()}
    published = {
        (entry.name, name): [entry.fields[name].default] for entry in entries.values() for name in entry.ranges
    }
    published["adu", "gamma"] += [10, 15, 20, 30, 50]
    published["adu", "lam"] += [0.5, 1, 3, 10, 20, 30, 50]
    published["clipfit", "distillation"] += [2]
    # At the official 10 no weight of few images can be selected, as the card says; it is tried as the default.
    assert published.pop(("ssd", "alpha")) == [10.0]
    assert len(published) >= 9
    for (method, name), values in published.items():
        tried = entries[method].ranges[name]
        listed = isinstance(tried, list)
        inside = [value in tried if listed else tried[0] < value < tried[1] for value in values]
        assert all(inside), (method, name)


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
