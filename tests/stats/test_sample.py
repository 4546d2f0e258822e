from __future__ import annotations

import numpy as np
import pytest

from adu_bench.core.errors import UserError
from adu_bench.data.clusters import clusters
from adu_bench.metrics.evidence import credit
from adu_bench.metrics.frame import score
from adu_bench.stats.sample import METRICS, linearised, samples
from tests.stats.made import board_runs, run_of

TASKS = ("a", "b")


def sample_of(runs, tasks=TASKS):
    return samples(runs, {run.key: run.label for run in runs}, {"all": tasks})["all"]


@pytest.fixture(scope="module")
def runs():
    return board_runs(np.random.default_rng(0))


def bootstrapped(runs, draws: int, rng: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    """Return means over tasks and seeds (draws,) by method and metric, with clusters drawn with replacement."""
    names = sorted({image.partition(".")[0] for run in runs for image in run.predictions()["image"]})
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for run in runs:
        frame = run.predictions()
        weight = counts[:, [names.index(image.partition(".")[0]) for image in frame["image"]]]
        right, gone = credit(frame), frame["forget"].to_numpy()
        mem = weight[:, ~gone] @ right[~gone] / weight[:, ~gone].sum(axis=1)
        forgotten = 1 - weight[:, gone] @ right[gone] / weight[:, gone].sum(axis=1)
        own = {"mem": mem, "for": forgotten, "h": 2 * mem * forgotten / (mem + forgotten)}
        for metric in METRICS:
            found.setdefault(run.label, {}).setdefault(metric, []).append(own[metric])
    return {label: {metric: np.mean(own[metric], axis=0) for metric in METRICS} for label, own in found.items()}


def test_the_images_error_is_that_of_a_bootstrap_over_clusters(runs):
    """6,000 draws: the bootstrap's error is known to 1 %; 60 clusters make both differ by a few per cent."""
    drawn, sample = bootstrapped(runs, 6_000, np.random.default_rng(1)), sample_of(runs)
    for metric in METRICS:
        gap = np.std(drawn["one"][metric] - drawn["two"][metric])
        assert sample.difference("one", "two", metric).images == pytest.approx(gap, rel=0.05)
        assert sample.mean("one", metric).images == pytest.approx(np.std(drawn["one"][metric]), rel=0.05)


def test_values_are_means_over_tasks_of_means_over_seeds(runs):
    sample = sample_of(runs)
    frame = score(runs, "made-up")
    for metric in METRICS:
        own = frame[(frame["metric"] == metric) & (frame["method"] == "one")]
        assert sample.mean("one", metric).value == pytest.approx(own.groupby("task")["value"].mean().mean())
        by_seed = own.groupby("seed")["value"].mean()
        assert sample.mean("one", metric).seeds == pytest.approx(by_seed.std() / np.sqrt(3))


def test_influences_of_a_run_sum_to_zero_and_predict_what_an_image_changes():
    rng = np.random.default_rng(2)
    right, gone, codes = rng.random(400) < 0.7, rng.random(400) < 0.3, np.arange(400)
    values, influences = linearised(right, gone, codes, 400)
    for metric in METRICS:
        assert influences[metric].sum() == pytest.approx(0, abs=1e-12)
        for place in (0, 1, 2, 3):
            less, _ = linearised(np.delete(right, place), np.delete(gone, place), np.arange(399), 399)
            assert values[metric] - less[metric] == pytest.approx(influences[metric][place], rel=0.02, abs=2e-6)


def test_images_of_an_emoji_are_one_cluster_and_others_are_their_own():
    assert clusters("emoji", ["1F3D8.glyph", "1F3D8.line", "2600-FE0F.line"]) == ["1F3D8", "1F3D8", "2600-FE0F"]
    assert clusters("pacs", ["photo/1.jpg", "photo/1.png"]) == ["photo/1.jpg", "photo/1.png"]


def test_two_copies_of_every_image_in_the_same_cluster_tell_nothing_new():
    """As many clusters, and the same error; images that counted as independent would shrink it by the root of two."""
    images, domains = [f"{place:04X}.x" for place in range(90)], list("abc") * 30

    def runs_of(copies: int):
        own = np.random.default_rng(4)
        return [
            run_of("one", seed, ("a",), np.tile(own.random(90) < 0.6, copies), images * copies, domains * copies)
            for seed in (1, 2, 3)
        ]

    single, double = (sample_of(runs_of(copies), ("a",)).mean("one") for copies in (1, 2))
    assert double.images == pytest.approx(single.images, rel=1e-5)


def test_each_view_has_its_own_tasks_and_the_whole_is_their_mean(runs):
    labels = {run.key: run.label for run in runs}
    found = samples(runs, labels, {"a": ("a",), "b": ("b",), "both": TASKS})
    parts = [found[name].difference("one", "two").value for name in TASKS]
    assert found["both"].difference("one", "two").value == pytest.approx(np.mean(parts))
    alone = samples(runs, labels, {"both": TASKS})["both"].difference("one", "two")
    assert found["both"].difference("one", "two").error == pytest.approx(alone.error, rel=1e-5)


def test_a_method_that_did_not_finish_is_not_in_the_sample(runs):
    sample = sample_of([run for run in runs if run is not runs[-1]])
    assert sample.methods == ("one",)
    with pytest.raises(UserError, match="'two'"):
        sample.difference("one", "two")


def test_clusters_that_only_some_runs_have_count_as_no_influence_elsewhere(runs):
    fewer = [run for run in runs if run.label == "one"]
    cut = runs[-1].predictions().iloc[:-10].reset_index(drop=True)
    other = [type(run)(run.spec, run.label, cut if run is runs[-1] else run.frame) for run in runs]
    assert sample_of(fewer).mean("one").error == pytest.approx(sample_of(other).mean("one").error, rel=1e-5)


def test_the_interaction_is_counted_once():
    """Answers that are independent in each seed: both parts then hold the same variance, and so does the sum."""
    rng = np.random.default_rng(5)
    images, domains = [f"{place:04X}.x" for place in range(600)], list("abc") * 200
    runs = [run_of("one", seed, ("a",), rng.random(600) < 0.6, images, domains) for seed in range(1, 31)]
    found = sample_of(runs, ("a",)).mean("one")
    assert found.images == pytest.approx(found.interaction, rel=0.1)
    assert found.error == pytest.approx(found.seeds, rel=0.3)
    assert found.error < 0.8 * np.hypot(found.seeds, found.images)


def test_pairs_are_corrected_by_holm_and_equal_methods_share_a_letter():
    rng = np.random.default_rng(6)
    images, domains = [f"{place:04X}.x" for place in range(300)], list("abc") * 100
    runs = []
    for label, chance in (("weak", 0.5), ("fair", 0.7), ("good", 0.9)):
        for seed in (1, 2, 3):
            gone = np.array(domains) == "a"
            runs.append(run_of(label, seed, ("a",), (rng.random(300) < chance) != gone, images, domains))
    sample = sample_of(runs, ("a",))
    order = ("good", "fair", "weak")
    table = sample.pairwise(order)
    raw = [sample.difference(one, two).p for one, two in (("good", "fair"), ("good", "weak"), ("fair", "weak"))]
    assert table.to_numpy()[np.triu_indices(3, 1)].min() == pytest.approx(3 * min(raw))
    assert sample.letters(order) == {"good": "a", "fair": "b", "weak": "c"}


def test_two_seeds_give_no_letters():
    sample = sample_of(board_runs(np.random.default_rng(7), seeds=2))
    assert sample.letters(("one", "two")) == {"one": "", "two": ""}
    assert sample.mean("one").reason == "Too few seeds: there are 2; an interval needs 3."
