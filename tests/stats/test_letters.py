from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs

from adu_bench.stats.letters import holm, letters


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.5])) == pytest.approx([0.04, 0.09, 0.09, 0.5])


def tables() -> Iterator[pd.DataFrame]:
    rng = np.random.default_rng(3)
    for count in (2, 3, 5, 8, 12):
        for _ in range(25):
            p = np.triu(rng.uniform(0, 0.15, (count, count)), 1)
            yield pd.DataFrame(p + p.T + np.eye(count))


def test_methods_share_a_letter_exactly_if_they_cannot_be_told_apart():
    for p in tables():
        found = letters(p)
        for one, two in combinations(p.index, 2):
            assert bool(set(found[one]) & set(found[two])) == (p.loc[one, two] >= 0.05)


def test_letters_are_some_of_those_of_scikit_posthocs_and_none_can_go():
    fewer = 0
    for p in tables():
        ours, theirs = groups(letters(p).values()), groups(scikit_posthocs.compact_letter_display(p))
        assert ours <= theirs
        fewer += len(ours) < len(theirs)
        for group in ours:
            assert not pairs(group) <= set().union(*map(pairs, ours - {group}))
    assert fewer


def pairs(group: frozenset[int]) -> set[tuple[int, int]]:
    return set(product(group, group))


def groups(texts) -> set[frozenset[int]]:
    texts = list(texts)
    return {frozenset(n for n, text in enumerate(texts) if one in text) for one in "".join(texts) if one != " "}


def test_the_best_method_has_the_first_letter():
    p = pd.DataFrame([[1, 0.5, 0.01], [0.5, 1, 0.2], [0.01, 0.2, 1]], index=list("xyz"), columns=list("xyz"))
    assert letters(p) == {"x": "a", "y": "ab", "z": "b"}


def test_more_methods_than_letters():
    names = [f"method {number}" for number in range(110)]
    found = letters(pd.DataFrame(np.eye(len(names)), index=names, columns=names))
    assert list(found.values())[50:54] == ["Y", "Z", "a'", "b'"]
    assert len(set(found.values())) == len(names)
