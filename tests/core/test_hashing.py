from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adu_bench.core.hashing import canonical_json, digest
from adu_bench.core.seeds import derive


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
