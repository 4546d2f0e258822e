"""Fields of a local method through the real command: None, bounds, and values that a suite's budget replaces."""

from __future__ import annotations

import json

import pytest

from tests.command import call

METHOD = '''"""A method."""
from dataclasses import dataclass
from typing import Literal
from adu_bench.api import Card, Method, Preset

@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    """Do nothing."""

    card = Card(name="mine", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")
    presets = (Preset("mine-free", group="other", summary="Without a limit.", limit=None, rate=None),)
    bounds = {"limit": ">= 1", "rate": "> 0"}
    limit: int | None = 3
    """At most this many."""
    rate: float | None = 0.5
    mode: Literal["a", "b"] | None = "a"
    free: int = 0

    def unlearn(self, problem):
        assert self.limit is None and self.rate == 2.0 and self.mode is None
        return problem.classifier()
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(METHOD)
    return tmp_path


def planned(folder, *options: str) -> str:
    return call(
        "run", "--suite", "mine.yaml", "--from", "mine.py", "--limit", "1", "--dry", *options, cwd=folder
    ).stdout


def test_none_is_set_by_command_suite_and_preset_and_stored(folder):
    (folder / "mine.yaml").write_text("extends: toy\ntitle: Mine\nbudget: {mode: null, mine: {limit: none}}\n")
    (folder / "settings.yaml").write_text("mine: {rate: null}\n")
    everywhere = ["--methods", "mine[rate=2]", "--settings", "settings.yaml"]
    assert "1 to do" in planned(folder, *everywhere)
    same = ["--methods", "mine[limit=None,mode=none,rate=2]"]
    key = planned(folder, *everywhere).splitlines()[0].split()[0]
    assert planned(folder, *same).splitlines()[0].startswith(f"{key}  mine[limit=none,mode=none,rate=2.0],")
    done = call("run", "--suite", "mine.yaml", "--from", "mine.py", "--limit", "1", *everywhere, cwd=folder)
    assert "budget: limit none (default 3), mode none (default a) for mine" in done.stdout
    record = json.loads((folder / "runs" / key / "run.json").read_text())
    assert dict(record["spec"]["method"]["fields"]) == {"free": 0, "limit": None, "mode": None, "rate": 2.0}
    again = call("run", "--suite", "mine.yaml", "--from", "mine.py", "--limit", "1", *same, cwd=folder)
    assert "1 finished, 0 to do" in again.stdout


def test_show_has_bounds_and_what_a_suite_changes(folder):
    (folder / "mine.yaml").write_text("extends: toy\ntitle: Mine\nmethods: [mine]\nbudget: {limit: 7, mode: none}\n")
    alone = call("show", "mine", "--from", "mine.py", cwd=folder).stdout
    assert "limit = 3 (int | None, >= 1)  At most this many." in alone
    within = call("show", "mine-free", "--suite", "mine.yaml", "--from", "mine.py", cwd=folder).stdout
    assert "Fields in mine:" in within
    assert "limit = none (int | None, >= 1; default 3, changed by the preset)" in within
    assert "mode = none (Literal['a', 'b'] | None; default a, changed by the suite's budget)" in within
    suite = call("show", "mine.yaml", "--from", "mine.py", cwd=folder).stdout
    assert "budget: limit 7 (default 3), mode none (default a) for mine" in suite


@pytest.mark.parametrize(
    ("methods", "entries", "complaint"),
    [
        ("mine[limit=0]", "", "For example mine[limit=3]."),
        ("mine[rate=nan]", "", "For example mine[rate=0.5]."),
        ("mine[rate=some]", "", "Allowed values: float | None, > 0; the default is 0.5."),
        ("mine", "budget: {limit: 0}", "In the suite's budget write limit: 3."),
        ("mine", "budget: {limit: 2.5}", "In the suite's budget write limit: 3."),
        ("mine", "settings: {mine: {rate: -.inf}}", "write mine: {rate: 0.5}."),
        ("mine", "seeds: [1, 1]", "For example seeds: [1, 2, 3]."),
    ],
)
def test_impossible_values_are_refused_before_anything_runs(folder, methods, entries, complaint):
    (folder / "mine.yaml").write_text(f"extends: toy\ntitle: Mine\n{entries}\n")
    call_ = ["run", "--suite", "mine.yaml", "--from", "mine.py", "--methods", methods]
    assert complaint in call(*call_, cwd=folder, status=2).stderr
    assert not (folder / "runs").exists()


def test_a_study_varies_a_field_that_may_be_none(folder):
    study = "studies: {limits: [{methods: [mine], limit: [null, 4]}]}"
    (folder / "mine.yaml").write_text(f"extends: toy\ntitle: Mine\n{study}\n")
    assert "mine[limit=none], forget" in planned(folder, "--study", "limits")
    (folder / "mine.yaml").write_text(f"extends: toy\ntitle: Mine\n{study.replace('4', '-4')}\n")
    refused = ["run", "--suite", "mine.yaml", "--from", "mine.py", "--study", "limits"]
    assert "In the suite's studies leave out -4." in call(*refused, cwd=folder, status=2).stderr


def test_check_names_numeric_fields_without_bounds(folder):
    (folder / "mine.py").write_text(
        METHOD.replace("        assert self.limit is None", "        assert self.limit == 3 #")
    )
    done = call("check", "mine", "--from", "mine.py", cwd=folder)
    assert "mine: no bounds for free: add them to the class" in done.stdout
    assert "all checks passed" in done.stdout
