from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from adu_bench.maintenance.boards import Effects, board
from adu_bench.stats.ranks import (
    critical_difference,
    friedman,
    improvement,
    letters,
    pairwise,
    profile,
    rank,
)
from adu_bench.stats.scores import Scores
from tests.stats.demsar import AUC, NAMES


def scores_of(values: np.ndarray, names=NAMES, seeds: int = 1) -> Scores:
    """Return scores (tasks, methods) of tasks that each forget a different domain."""
    tasks = tuple(f"d{number}" for number in range(len(values)))
    forget = tuple((task,) for task in tasks)
    return Scores("h", tuple(names), tasks, tuple(range(seeds)), forget, np.repeat(values.T[:, :, None], seeds, axis=2))


DEMSAR = scores_of(AUC)


def test_ranks_of_demsars_second_example():
    """Section 3.2.4: average ranks 3.143, 2.000, 2.893, 1.964; Friedman 9.28 with ties uncorrected; CD 1.25."""
    found = rank(DEMSAR)
    assert found.ranks[list(NAMES)].round(3).to_list() == [3.143, 2.000, 2.893, 1.964]
    assert found.methods[0] == "C4.5+m+cf"
    means = found.ranks.to_numpy()
    assert 12 * 14 / (4 * 5) * ((means**2).sum() - 4 * 25 / 4) == pytest.approx(9.28, abs=0.005)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert len(found.blocks) == 14


def test_what_demsar_finds_significant():
    """Nemenyi at .10 separates C4.5 from both variants with m (critical difference 1.12); at .05 nothing."""
    found = rank(DEMSAR).nemenyi
    assert found.loc["C4.5", "C4.5+m+cf"] < 0.10
    assert found.loc["C4.5", "C4.5+m"] < 0.10
    assert found.to_numpy().min() > 0.05


@pytest.mark.parametrize(
    ("methods", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031), (10, 3.164)]
)
def test_critical_values_of_demsars_table_5(methods, q):
    assert critical_difference(methods, 6) / np.sqrt(methods * (methods + 1) / 36) == pytest.approx(q, abs=0.0011)


def test_friedman_is_scipys_and_its_p_value_nears_chi_square_with_many_blocks():
    values = np.random.default_rng(0).normal([0, 0, 0, 0.25], size=(60, 4))
    theirs = stats.friedmanchisquare(*values.T)
    statistic, p = friedman(stats.rankdata(-values, axis=1))
    assert statistic == pytest.approx(theirs.statistic)
    assert p == pytest.approx(theirs.pvalue, abs=0.02)
    ties = np.round(values)
    assert friedman(stats.rankdata(-ties, axis=1))[0] == pytest.approx(stats.friedmanchisquare(*ties.T).statistic)


def test_friedman_of_ties_alone_has_p_1():
    assert friedman(np.full((4, 3), 2.0)) == (0.0, 1.0)


def test_friedmans_smallest_p_value_is_that_of_the_permutations():
    """Three methods in the same order in three blocks: 1 of 36 arrangements, up to the names of the methods."""
    assert friedman(np.tile([1.0, 2.0, 3.0], (3, 1)))[1] == pytest.approx(1 / 36, abs=0.006)


def test_wilcoxon_with_holm_is_scikit_posthocs():
    values = np.random.default_rng(1).normal([0, 0.3, 0.6, 2], size=(12, 4))
    found = rank(scores_of(values))
    theirs = scikit_posthocs.posthoc_wilcoxon(pd.DataFrame(values, columns=NAMES).melt(), "value", "variable", "exact",
                                              p_adjust="holm")  # fmt: skip
    assert found.wilcoxon.loc[list(NAMES), list(NAMES)].to_numpy() == pytest.approx(theirs.loc[NAMES, NAMES].to_numpy())


def test_four_domains_are_too_few_for_wilcoxon():
    found = rank(board(np.random.default_rng(2), Effects(1.0), 6))
    assert found.wilcoxon is None
    assert "Too few tasks for a test" in found.reason
    assert len(found.blocks) == 4


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


def test_too_few_domains_give_no_letters():
    values = np.random.default_rng(4).normal(size=(2, 3))
    assert set(letters(pairwise(scores_of(values, "xyz"))).values()) == {""}


def test_pairs_are_t_tests_with_holm():
    values = np.random.default_rng(5).normal([0, 1, 3], size=(5, 3))
    found = pairwise(scores_of(values, "xyz"))
    raw = {pair: stats.ttest_rel(values[:, pair[0]], values[:, pair[1]]).pvalue for pair in ((0, 1), (0, 2), (1, 2))}
    order = sorted(raw, key=raw.get)
    assert found.iloc[order[0]] == pytest.approx(3 * raw[order[0]])
    assert found.iloc[order[1]] == pytest.approx(max(3 * raw[order[0]], 2 * raw[order[1]]))


def test_probability_of_improvement_by_hand():
    values = np.array([[[3.0, 1.0], [2.0, 2.0], [0.0, 1.0]], [[2.0, 2.0], [2.0, 2.0], [3.0, 3.0]]])
    pair = Scores("h", ("x", "y"), ("a", "b", "c"), (1, 2), (("a",), ("b",), ("c",)), values)
    # Against (2, 2): 3 wins, 1 loses: .5; all ties: .5; both lose: 0.
    assert improvement(pair, "x", "y") == pytest.approx(1 / 3)
    assert improvement(pair, "y", "x") == pytest.approx(2 / 3)


def test_profiles_count_runs_above_a_threshold():
    found = profile(scores_of(AUC), np.array([0.0, 0.9, 1.0]))
    assert found.loc[0.0].to_list() == [1, 1, 1, 1]
    assert found.loc[0.9, "C4.5"] == pytest.approx((AUC[:, 0] >= 0.9).mean())
    assert (found.diff().dropna() <= 0).all(axis=None)
