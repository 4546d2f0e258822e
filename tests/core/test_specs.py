from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adu_bench.core.hashing import digest
from adu_bench.core.specs import BackboneSpec, MethodSpec, RunSpec, Supervision, TrainingSpec, forget_name
from tests.conftest import make_spec, make_task


@pytest.mark.parametrize("supervision", [Supervision(), Supervision(wrong=0.3)])
@pytest.mark.parametrize("held_out", [(), ("x", "y")])
def test_a_spec_survives_json(supervision, held_out):
    spec = make_spec(lr=0.1)
    spec = replace(spec, task=replace(spec.task, held_out=held_out), supervision=supervision)
    assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))).key == spec.key


@pytest.mark.parametrize("lr", [1, 1.0, True, "1", None, (1, 2.5)])
@pytest.mark.parametrize("protocol", [1, 2, 3])
@pytest.mark.parametrize("supervision", [Supervision(), Supervision(wrong=0.3)])
def test_a_key_is_the_digest_of_the_whole_spec(lr, protocol, supervision):
    """Its JSON is put together from parts; parts that are equal in Python (1, 1.0, True) must not be exchanged."""
    made = [replace(make_spec(lr=value), protocol=protocol, supervision=supervision) for value in (1.0, lr)]
    assert [spec.key for spec in made] == [digest(spec.to_dict()) for spec in made]


@pytest.mark.parametrize(
    "change",
    [
        {"task": make_task(("c",))},
        {"task": replace(make_task(), classes=("x", "y"))},
        {"task": replace(make_task(), data_hash="e" * 20)},
        {"task": replace(make_task(), shots=3)},
        {"backbone": BackboneSpec("tiny", "v" * 20)},
        {"method": MethodSpec("some", "other", "t" * 20, ())},
        {"method": MethodSpec("some", "s" * 20, "other", ())},
        {"method": MethodSpec("some", "s" * 20, "t" * 20, (("lr", 0.2),))},
        {"training": TrainingSpec(9, "fp32")},
        {"training": TrainingSpec(8, "bf16")},
        {"training": TrainingSpec(8, "fp32", "tf32")},
        {"seed": 2},
        {"protocol": 99},
        {"task": replace(make_task(), held_out=("x", "y"))},
        {"supervision": Supervision(wrong=0.1)},
        {"supervision": Supervision(missing=0.1, pseudo="words", template="{}")},
        {"supervision": Supervision(dropped=0.1, dropped_from="forget")},
    ],
)
def test_everything_that_changes_numbers_changes_the_key(change):
    assert replace(make_spec(), **change).key != make_spec().key


def test_neutral_values_are_not_part_of_the_key():
    """The digest is that of a spec from before there were held-out classes and supervisions."""
    values = make_spec(lr=0.1).to_dict()
    assert "supervision" not in values
    assert "held_out" not in values["task"]
    assert make_spec(lr=0.1).key == "21c1fab04aba8f0c53d4"


def test_a_task_with_held_out_classes_has_a_name_of_its_own():
    task = make_task()
    one, other = (replace(task, held_out=held_out) for held_out in (("x", "y"), ("x", "z")))
    assert (task.name, task.split) == ("b", "")
    assert one.name == f"b, split {one.split}"
    assert one.split != other.split


def test_forget_and_retain_split_the_domains():
    task = make_task(("a", "c"))
    assert task.retain == ("b",)
    assert task.name == "a+c"


def test_a_domain_that_contains_the_joiner_is_quoted():
    assert forget_name(("b", "w")) == "b+w"
    assert forget_name(("b+w",)) == '"b+w"'
    assert forget_name(("b+w", "w"), " + ") == '"b+w" + w'


SETS = st.lists(st.text('ab+" \\', min_size=1, max_size=4), min_size=1, max_size=3).map(tuple)


@given(SETS, SETS)
def test_different_forget_sets_have_different_names(one, other):
    assert (forget_name(one) == forget_name(other)) == (one == other)


def test_specs_of_protocol_1_keep_their_keys():
    """Committed rows of protocol 1 record no precision of evaluation, and their keys follow from what they record."""
    recorded = replace(make_spec(), protocol=1).to_dict()
    assert "evaluation" not in recorded["training"]
    found = RunSpec.from_dict(recorded)
    assert found.to_dict() == recorded
    assert found.key == digest(recorded)
    assert make_spec().to_dict()["training"]["evaluation"] == "fp32"
