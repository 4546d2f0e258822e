from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adu_bench.core.errors import UserError
from adu_bench.metrics.frame import score
from adu_bench.stats.paired import by_image, compare, disjoint, exact_wilcoxon, holm, rank_biserial
from adu_bench.stats.scores import forget_sets, scores, views_of
from adu_bench.store import Store
from tests.conftest import make_predictions, make_spec, random_predictions, write_run
from tests.stats.demsar import AUC, PLAIN, TUNED

DIFFERENCES = AUC[:, TUNED] - AUC[:, PLAIN]


def test_wilcoxon_of_demsars_first_example():
    """Section 3.1.3: T = 12 over 14 data sets, the ranks of draws split; significant at .05 (critical value 21)."""
    ranks = stats.rankdata(np.abs(DIFFERENCES))
    split = ranks[DIFFERENCES == 0].sum() / 2
    assert min(ranks[DIFFERENCES > 0].sum(), ranks[DIFFERENCES < 0].sum()) + split == 12
    found = exact_wilcoxon(DIFFERENCES)
    assert found.p < 0.05
    assert found.n == 12


@pytest.mark.parametrize("n", [6, 9, 14])
def test_wilcoxon_is_scipys_exact_one(n):
    values = np.random.default_rng(n).normal(0.3, 1, n)
    assert exact_wilcoxon(values).p == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


def test_wilcoxon_with_ties_tries_every_sign():
    values = np.array([1.0, 1.0, 1.0, 2.0, 2.0, -1.0, 3.0])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 7)).reshape(7, -1).T
    ranks = stats.rankdata(np.abs(values))
    sums = (ranks * (signs > 0)).sum(axis=1)
    observed = ranks[values > 0].sum()
    expected = 2 * min((sums >= observed).mean(), (sums <= observed).mean())
    assert exact_wilcoxon(values).p == pytest.approx(expected)


@pytest.mark.parametrize("n", [0, 1, 4, 5])
def test_too_few_tasks_are_not_tested(n):
    found = exact_wilcoxon(np.arange(1, n + 1.0))
    assert found.p is None
    assert "Too few tasks for a test" in found.reason
    assert "6 are needed" in found.reason


def test_six_tasks_can_just_reach_the_level():
    assert exact_wilcoxon(np.arange(1, 7.0)).p == pytest.approx(2 / 2**6)


def test_rank_biserial_by_hand():
    # Ranks 1 to 4; positive differences have a sum of 8, negative ones of 2.
    assert rank_biserial(np.array([1, -2, 3, 4])) == pytest.approx(0.6)
    assert rank_biserial(np.zeros(3)) == 0


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.5])) == pytest.approx([0.04, 0.09, 0.09, 0.5])


def test_tasks_without_a_common_domain_are_found():
    assert disjoint([("a", "b"), ("a",), ("c",), ("b", "c"), ("b",)]).tolist() == [1, 2, 4]
    assert disjoint([("a", "b"), ("b", "c"), ("c", "d")]).tolist() == [0, 2]


FORGETS = (("a",), ("b",), ("c",), ("a", "b"), ("b", "c"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """All metrics of two methods on five tasks with two seeds, the runs, and their labels."""
    folder = tmp_path_factory.mktemp("runs")
    for number, method in enumerate(("one", "two")):
        for task, forget in enumerate(FORGETS):
            for seed in (1, 2):
                frame = random_predictions(100 * number + 10 * seed + task, forget=forget)
                write_run(folder, make_spec(method, seed, forget), method, frame)
    runs = Store(folder).runs()
    return score(runs, "made-up"), runs, {run.key: run.label for run in runs}


def test_seeds_are_averaged_first_and_the_order_decides_the_sign(finished):
    found, turned = compare(*finished, "one", "two"), compare(*finished, "two", "one")
    wide = finished[0].query("metric == 'h'").pivot_table(index="task", columns="method", values="value")
    gaps = wide["one"] - wide["two"]
    whole = found.differences[-3]
    assert (whole.metric, whole.size, whole.domains.tasks) == ("h", None, 5)
    assert whole.domains.value == pytest.approx(gaps.mean())
    assert found.by_task.set_index("task")["h_difference"].to_dict() == pytest.approx(gaps.to_dict())
    assert turned.differences[-3].domains.low == pytest.approx(-whole.domains.high)
    assert turned.images["a_better"].to_list() == found.images["b_better"].to_list()


def test_a_task_that_one_method_did_not_finish_is_left_out_and_named(finished):
    frame, runs, labels = finished
    lost = next(run for run in runs if run.label == "one" and run.spec.task.name == "b" and run.spec.seed == 2)
    kept = [run for run in runs if run is not lost]
    found = compare(frame[frame["key"] != lost.key], kept, labels, "one", "two")
    assert set(found.tasks) == {"a", "c", "a+b", "b+c"}
    assert found.left_out == ("b",)


def test_numbers_of_forget_domains_are_separate(finished):
    found, only = compare(*finished, "one", "two"), compare(*finished, "one", "two", size=2)
    assert [one.size for one in found.differences if one.metric == "h"] == [1, 2, None]
    assert set(only.tasks) == set(only.images["task"]) == {"a+b", "b+c"}
    assert only.differences[0].domains == found.differences[3].domains
    with pytest.raises(UserError, match="No task forgets 3 domains"):
        compare(*finished, "one", "two", size=3)


def test_unknown_methods_and_metrics_are_refused(finished):
    frame, runs, _ = finished
    with pytest.raises(UserError, match="Did you mean one"):
        scores(frame, forget_sets(runs), "h", ("ones", "two"))
    with pytest.raises(UserError, match="no metric"):
        scores(frame, forget_sets(runs), "hh", ("one", "two"))


def test_views_are_each_number_of_domains_and_then_all():
    assert views_of((1, 2)) == (1, 2, None)
    assert views_of((1,)) == (1,)


def answers(tmp_path, method: str, right: list[bool], seed: int = 1):
    """Write a run with right and wrong answers on images of retain domain a and forget domain b; return its key."""
    labels = np.zeros(len(right), int)
    probabilities = np.where(np.array(right)[:, None], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0])
    domains = ["a" if place < len(right) // 2 else "b" for place in range(len(right))]
    spec = make_spec(method, seed)
    write_run(tmp_path, spec, method, make_predictions(probabilities, labels, domains, ("b",)))
    return spec.key


def test_mcnemar_counts_images_and_inverts_answers_on_forget_domains(tmp_path):
    # Retain: A alone right on 8, B alone on 1.  Forget: A alone right on 6, which is B doing better.
    one = [True] * 8 + [False] + [True] * 3 + [True] * 6 + [False] * 6
    two = [False] * 8 + [True] + [True] * 3 + [False] * 6 + [False] * 6
    keys = answers(tmp_path, "one", one), answers(tmp_path, "two", two)
    store = Store(tmp_path)
    table = by_image([store.load(keys[0])], [store.load(keys[1])]).set_index("part")
    assert table.loc["mem", ["images", "a_better", "b_better"]].to_list() == [12, 8, 1]
    assert table.loc["for", ["images", "a_better", "b_better"]].to_list() == [12, 0, 6]
    assert table.loc["mem", "p"] == pytest.approx(stats.binomtest(8, 9).pvalue)
    assert table.loc["for", "p_holm"] == pytest.approx(2 * stats.binomtest(0, 6).pvalue)


def test_seeds_of_an_image_are_averaged_before_it_counts(tmp_path):
    first = [answers(tmp_path, "one", [True, True, False, True], seed) for seed in (1, 2)]
    second = [answers(tmp_path, "two", [seed == 1, True, False, True], seed) for seed in (1, 2)]
    store = Store(tmp_path)
    table = by_image([store.load(key) for key in first], [store.load(key) for key in second]).set_index("part")
    assert table.loc["mem", ["images", "a_better", "b_better"]].to_list() == [2, 1, 0]
