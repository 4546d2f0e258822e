"""The shipped methods still give the committed answers, and code with the same numbers keeps its results."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from adu_bench.maintenance import golden
from adu_bench.registry import Catalogue, fingerprint
from adu_bench.registry.fingerprint import Core, core_digest, revision

PACKAGE = Path(find_spec("adu_bench").submodule_search_locations[0])
METHODS = Path(find_spec("adu_bench._methods").submodule_search_locations[0])
CHOICES = {choice.preset.name: choice for choice in Catalogue().select([golden.METHODS])}
GOLDEN = json.loads(golden.GOLDEN.read_text())


def test_every_compared_preset_has_committed_answers():
    assert set(GOLDEN) == set(CHOICES)


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_answers_are_the_committed_ones(name):
    assert golden.compare({name: golden.answers(CHOICES[name])}, {name: GOLDEN[name]}) == {}


def test_a_change_of_numbers_is_noticed(monkeypatch):
    from adu_bench.training import loop

    rate = loop.learning_rate
    monkeypatch.setattr(loop, "learning_rate", lambda *given: 0.7 * rate(*given))
    found = golden.compare({"adu": golden.answers(CHOICES["adu"])}, {"adu": GOLDEN["adu"]})
    assert "differ by" in found["adu"]


def test_missing_answers_are_named():
    assert set(golden.compare({"a": np.zeros(2)}, {"b": [0.0]})) == {"a", "b"}


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A file of its own for code with the same numbers."""
    path = tmp_path / "same_numbers.json"
    path.write_text("{}")
    monkeypatch.setattr(fingerprint, "SAME_NUMBERS", path)
    monkeypatch.setattr(golden, "SAME_NUMBERS", path)
    fingerprint._same_numbers.cache_clear()
    yield path
    fingerprint._same_numbers.cache_clear()


def test_code_that_is_recorded_to_give_the_same_numbers_keeps_its_digests(tmp_path, recorded):
    """The earlier checkout lacks a function of the losses, which no method used, and one line of a method."""
    old = tmp_path / "old"
    shutil.copytree(PACKAGE, old / "adu_bench", ignore=shutil.ignore_patterns("resources", "__pycache__"))
    shutil.copytree(METHODS, old / "methods", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (old / "adu_bench" / "training" / "losses.py", old / "methods" / "baseline.py"):
        path.write_text(path.read_text() + "\n\nEARLIER = 1\n")
    choice = CHOICES["baseline"]
    now = choice.entry.source_hash, core_digest(choice.entry.imports)
    before = (
        Catalogue([old / "methods"], shipped=False).presets["baseline"][1].source_hash,
        Core(old / "adu_bench").digest(tuple(sorted(choice.entry.imports))),
    )
    assert set(now).isdisjoint(before)
    recorded.write_text(json.dumps(golden.same_as(old, [choice])))
    fingerprint._same_numbers.cache_clear()
    assert (revision(now[0]), revision(now[1])) == before
    # A later change of the same kind goes back to the first code as well.
    assert golden.same_as(old, [choice]) in ({}, {now[0]: before[0]})


def test_recorded_digests_are_those_of_todays_code():
    """An entry whose code is gone can be deleted, because rows name the first code."""
    known = {choice.entry.source_hash for choice in CHOICES.values()}
    known |= {core_digest(choice.entry.imports) for choice in CHOICES.values()}
    assert set(json.loads(golden.SAME_NUMBERS.read_text()).values()) <= known
