from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adu_bench.core.hashing import canonical_json, digest, source_digest
from adu_bench.core.seeds import derive

CODE = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    "same",
    [
        "def f(x):  # why\n    return x + 1\n",
        'def f(x):\n    """Say what it does."""\n    return x + 1\n',
        '"""A module."""\n\n\ndef f(x):\n\n    # why\n    return x + 1\n',
    ],
)
def test_comments_docstrings_and_blank_lines_do_not_count(same):
    assert source_digest([same]) == source_digest([CODE])


@pytest.mark.parametrize("other", ["def f(x):\n    return x + 2\n", "def f(x):\n    return x + 1\ny = 1\n"])
def test_statements_count(other):
    assert source_digest([other]) != source_digest([CODE])


def test_named_declarations_of_classes_do_not_count():
    code = 'class A:\n    card = "{}"\n    """Help."""\n    x = 1\n'
    same, other = code.format("one"), code.format("two")
    assert source_digest([same], ("card",)) == source_digest([other], ("card",))
    assert source_digest([same]) != source_digest([other])
    assert source_digest([same], ("card",)) != source_digest([same.replace("x = 1", "x = 2")], ("card",))


def test_a_hash_sign_inside_a_string_is_no_comment():
    assert source_digest(['x = "a#b"\n']) != source_digest(['x = "a#c"\n'])


def test_key_order_does_not_count_and_nan_is_refused():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


@given(st.integers(0, 2**31), st.text(max_size=5), st.text(max_size=5))
def test_derived_seeds_depend_on_every_name(seed, one, other):
    value = derive(seed, one, other)
    assert 0 <= value < 2**63
    assert value == derive(seed, one, other)
    assert value != derive(seed, one, other, "more")
    assert value != derive(seed + 1, one, other)
