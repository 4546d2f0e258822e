from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adu_bench.core.errors import UserError
from adu_bench.metrics.frame import score
from adu_bench.stats.paired import by_image, compare, success
from adu_bench.stats.scores import forget_sets, scores, views_of
from adu_bench.store import Store
from tests.conftest import make_predictions, make_spec, random_predictions, write_run

FORGETS = (("a",), ("b",), ("c",), ("a", "b"), ("b", "c"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """All metrics of two methods on five tasks with three seeds, the runs, and their labels."""
    folder = tmp_path_factory.mktemp("runs")
    for number, method in enumerate(("one", "two")):
        for task, forget in enumerate(FORGETS):
            for seed in (1, 2, 3):
                frame = random_predictions(100 * number + 10 * seed + task, forget=forget)
                write_run(folder, make_spec(method, seed, forget), method, frame)
    runs = Store(folder).runs()
    return score(runs, "made-up"), runs, {run.key: run.label for run in runs}


def test_seeds_are_averaged_first_and_the_order_decides_the_sign(finished):
    found, turned = compare(*finished, "one", "two"), compare(*finished, "two", "one")
    wide = finished[0].query("metric == 'h'").pivot_table(index="task", columns="method", values="value")
    gaps = wide["one"] - wide["two"]
    whole = found.of("h", None)
    assert whole.tasks == 5
    assert whole.value == pytest.approx(gaps.mean())
    assert found.by_task.set_index("task")["h_difference"].to_dict() == pytest.approx(gaps.to_dict())
    assert turned.of("h", None).low == pytest.approx(-whole.high)
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
    assert only.of("h", 2) == found.of("h", 2)
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


def successes(store: Store, keys) -> dict:
    return {"b": [success(store.load(key).predictions()) for key in keys]}


def test_mcnemar_counts_images_and_inverts_answers_on_forget_domains(tmp_path):
    # Retain: A alone right on 8, B alone on 1.  Forget: A alone right on 6, which is B doing better.
    one = [True] * 8 + [False] + [True] * 3 + [True] * 6 + [False] * 6
    two = [False] * 8 + [True] + [True] * 3 + [False] * 6 + [False] * 6
    keys = answers(tmp_path, "one", one), answers(tmp_path, "two", two)
    store = Store(tmp_path)
    table = by_image(successes(store, keys[:1]), successes(store, keys[1:])).set_index("part")
    assert table.loc["mem", ["images", "a_better", "b_better"]].to_list() == [12, 8, 1]
    assert table.loc["for", ["images", "a_better", "b_better"]].to_list() == [12, 0, 6]
    assert table.loc["mem", "p"] == pytest.approx(stats.binomtest(8, 9).pvalue)
    assert table.loc["for", "p_holm"] == pytest.approx(2 * stats.binomtest(0, 6).pvalue)


def test_seeds_of_an_image_are_averaged_before_it_counts(tmp_path):
    first = [answers(tmp_path, "one", [True, True, False, True], seed) for seed in (1, 2)]
    second = [answers(tmp_path, "two", [seed == 1, True, False, True], seed) for seed in (1, 2)]
    store = Store(tmp_path)
    table = by_image(successes(store, first), successes(store, second)).set_index("part")
    assert table.loc["mem", ["images", "a_better", "b_better"]].to_list() == [2, 1, 0]
