from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs

from adu_bench.stats.letters import holm, letters


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.5])) == pytest.approx([0.04, 0.09, 0.09, 0.5])


def test_letters_are_those_of_scikit_posthocs():
    rng = np.random.default_rng(3)
    for count in (2, 3, 5, 8):
        for _ in range(25):
            p = np.triu(rng.uniform(0, 0.15, (count, count)), 1)
            table = pd.DataFrame(p + p.T + np.eye(count))
            ours, theirs = letters(table), scikit_posthocs.compact_letter_display(table)
            assert groups(ours.values()) == groups(theirs)


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
