from __future__ import annotations

import pytest

from adu_bench.core.words import size_of


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "1 kB"), (400, "1 kB"), (23_400, "23 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (1.35e9, "1,350.0 MB")],
)
def test_sizes_are_never_zero(size, said):
    assert size_of(size) == said
