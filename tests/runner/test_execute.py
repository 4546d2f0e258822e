"""A run on a data set in files decodes the images that it needs and no others, with the backbone's preprocessing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from adu_bench.core.errors import UserError
from adu_bench.core.specs import SUPERVISIONS, BackboneSpec, MethodSpec, RunSpec, Supervision, Task, TrainingSpec
from adu_bench.data import sources
from adu_bench.data.sampler import draw_shots
from adu_bench.data.sources import Source
from adu_bench.runner.decoding import decode_needed
from adu_bench.runner.execute import TaskData
from adu_bench.runner.tune import decode_tuned

DOMAINS, CLASSES = ("photo", "sketch"), ("cat", "dog", "fox")
POOLS = {"train": 40, "validation": 2, "test": 3}
SHOTS = 2
NEEDED = len(DOMAINS) * len(CLASSES) * (SHOTS + POOLS["test"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root, rng, rows = tmp_path_factory.mktemp("files"), np.random.default_rng(0), []
    for domain in DOMAINS:
        for label in CLASSES:
            (root / domain / label).mkdir(parents=True)
            for pool, count in POOLS.items():
                for number in range(count):
                    path = f"{domain}/{label}/{pool}{number}.png"
                    Image.fromarray(rng.integers(0, 256, (17, 20, 3), np.uint8)).save(root / path)
                    sha256 = hashlib.sha256((root / path).read_bytes()).hexdigest()
                    rows.append((path, domain, label, pool, sha256, path))
    index = pd.DataFrame(rows, columns=["image", "domain", "label", "pool", "sha256", "path"])
    return Source("animals", "Animals", "", DOMAINS, lambda: index, root=root)


@pytest.fixture
def source(files, tmp_path, monkeypatch):
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path))
    monkeypatch.setitem(sources._SOURCES, "animals", files)
    return files


def spec(seed: int = 1, forget: str = "photo") -> RunSpec:
    task = Task("animals", "d" * 20, DOMAINS, (forget,), CLASSES, "a {}.", SHOTS)
    method = MethodSpec("some", "s" * 20, "t" * 20, ())
    return RunSpec(task, BackboneSpec("tiny", "w" * 20), method, TrainingSpec(4, "fp32"), seed)


def made(data: TaskData) -> tuple[int, int]:
    """Count the images and the features in the cache."""
    again = TaskData(data.task, data.backbone)
    return len(again.preprocessed.rows), len(again.features.rows)


def test_a_run_decodes_and_encodes_what_it_needs_and_the_next_one_adds_its_shots(source, tiny_backbone):
    data = TaskData(spec().task, tiny_backbone)
    data.prepare(1)
    assert made(data) == (NEEDED, NEEDED)
    shots = [set(draw_shots(data.rows, data.task, seed)) for seed in (1, 2)]
    data.prepare(2)
    assert made(data) == (NEEDED + len(shots[1] - shots[0]),) * 2
    assert len(source.index) == 270


def test_a_method_gets_the_pixels_and_features_of_its_shots(source, tiny_backbone):
    data = TaskData(spec().task, tiny_backbone)
    problem = data.problem(spec())
    positions = draw_shots(data.rows, data.task, 1)
    apply = tiny_backbone.preprocessing.apply
    pixels = np.stack([apply(Image.open(source.root / path)) for path in source.index["path"][positions]])
    assert torch.equal(problem.train.images, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    torch.testing.assert_close(problem.train.frozen, tiny_backbone.image_features(problem.train.images))
    assert problem.train.labels.tolist() == [0, 0, 1, 1, 2, 2] * 2
    test = data.images("test")
    assert (len(test), test.frozen.shape) == (18, (18, 24))
    assert made(data) == (NEEDED, NEEDED)


def test_progress_says_what_is_done(source, tiny_backbone):
    told = []
    TaskData(spec().task, tiny_backbone, report=lambda *one: told.append(one)).prepare(1)
    assert told == [
        ("decoding images", NEEDED, NEEDED),
        ("encoding images", NEEDED, NEEDED),
        ("decoding images", 12, 12),
    ]


def planned(*specs: RunSpec) -> list:
    return [SimpleNamespace(spec=spec, backbone="tiny") for spec in specs]


@pytest.fixture
def loaded(tiny_backbone, monkeypatch):
    """Counts how often the backbone is loaded in place of a real one."""
    names = []
    monkeypatch.setattr(
        "adu_bench.runner.decoding.preprocessing_of", lambda name: names.append(name) or tiny_backbone.preprocessing
    )
    return names


def test_what_planned_runs_need_is_decoded_before_them(source, loaded, tiny_backbone):
    seen = {}
    decode_needed(
        planned(spec(1), spec(2), spec(1, "sketch")), lambda step, done, total: seen.update({step: (done, total)})
    )
    data = TaskData(spec().task, tiny_backbone)
    shots = {position for seed in (1, 2) for position in draw_shots(data.rows, data.task, seed)}
    count = len(shots) + NEEDED - SHOTS * 6
    assert seen == {
        "decoding images of animals": (count, count),
        "decoding training images of animals": (len(shots), len(shots)),
    }
    assert loaded == ["tiny"]
    assert made(data) == (count, 0)
    assert len(data.training_images.rows) == len(shots)


def test_what_trials_need_is_decoded_before_them(source, loaded, tiny_backbone, monkeypatch):
    """Tuning reads no test image unless it is told to score them."""
    monkeypatch.setattr("adu_bench.runner.tune.plan", lambda *_, **__: SimpleNamespace(runs=planned(spec())))
    sizes = TaskData(spec().task, tiny_backbone).rows["pool"].value_counts()
    counts = {}
    count = lambda step, done, total: counts.update({step: total})  # noqa: E731
    decode_tuned(SimpleNamespace(seeds=(1,)), None, count)
    assert counts["decoding images of animals"] == NEEDED - sizes["test"] + sizes["validation"]
    decode_tuned(SimpleNamespace(seeds=(1,)), None, count, score_test=True)
    assert counts["decoding images of animals"] == NEEDED + sizes["validation"]


def test_damaged_pictures_stop_all_runs_before_the_first(source, loaded, monkeypatch, tmp_path):
    copy = tmp_path / "copy"
    for path in source.index["path"]:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).symlink_to(source.root / path)
    for path in ("photo/cat/test0.png", "sketch/fox/test1.png"):
        (copy / path).unlink()
    monkeypatch.setitem(sources._SOURCES, "animals", replace(source, root=copy))
    with pytest.raises(UserError) as caught:
        decode_needed(planned(spec(1), spec(2)))
    assert "photo/cat/test0.png: missing\n  sketch/fox/test1.png: missing" in caught.value.what


def test_drawn_pictures_are_left_to_the_runs(loaded):
    toy = replace(spec().task, dataset="toy")
    decode_needed(planned(replace(spec(), task=toy)), lambda *told: pytest.fail("no step is due"))
    assert loaded == []


@pytest.mark.parametrize("name", SUPERVISIONS)
def test_a_supervision_changes_what_the_method_is_given_and_no_test_label(source, tiny_backbone, name):
    def made_with(share: float, forget: str) -> tuple:
        run = replace(spec(forget=forget), supervision=Supervision.of(name, share, "a {}."))
        data = TaskData(run.task, tiny_backbone)
        problem, test = data.problem(run), data.images("test")
        return problem, test

    for forget in DOMAINS:
        (plain, tested), (problem, test) = made_with(0.0, forget), made_with(1.0, forget)
        for field in ("rows", "names", "domains", "labels", "forget", "frozen"):
            assert np.array_equal(getattr(test, field), getattr(tested, field))
        own = DOMAINS.index(forget)
        assert torch.equal(problem.train.forget, problem.train.domains == own)
        assert len(problem.full.extents) == len(problem.train) == len(problem.train.images)
        if name.startswith("dropped"):
            gone = own if name == "dropped-forget" else 1 - own
            assert torch.equal(problem.train.labels, plain.train.labels[plain.train.domains != gone])
            assert gone not in problem.train.domains
        else:
            assert torch.equal(problem.train.images, plain.train.images)
            assert torch.equal(problem.train.labels, plain.train.labels)
        if name == "wrong":
            assert torch.equal(problem.train.domains, 1 - plain.train.domains)


def test_what_is_to_be_forgotten_is_that_of_the_run(source, tiny_backbone):
    """Runs of one data set share their images, whichever domains they forget."""
    data = TaskData(spec().task, tiny_backbone)
    problem = data.problem(spec(forget="sketch"))
    assert torch.equal(problem.train.forget, problem.train.domains == 1)
