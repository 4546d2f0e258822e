from __future__ import annotations

import numpy as np
import pytest
import torch

from adu_bench.core.errors import Diverged, RunFailed
from adu_bench.rerun.exposure import Line, changed_copy, require_no_memory, require_steady
from adu_bench.runner.evaluate import Images
from tests.conftest import random_predictions


@pytest.fixture
def pools() -> list[Images]:
    """Six test images and four validation images, each filled with a number of its own, in two arrays."""

    def pool(first: int, count: int) -> Images:
        pixels = np.repeat(np.arange(first, first + count, dtype=np.uint8), 768).reshape(count, 16, 16, 3)
        names = np.array([f"image {first + place}" for place in range(count)], object)
        labels = np.arange(count) % 3
        features = np.zeros((count, 4), np.float32)
        return Images(pixels, np.arange(count), names, names, labels, labels == 0, features)

    return [pool(20, 6), pool(60, 4)]


def test_answers_find_back_to_their_images(pools, tmp_path, tiny_backbone):
    line = Line(pools)
    line.save(tmp_path / "images.npy")
    images = np.load(tmp_path / "images.npy")
    assert images.shape == (16, 16, 16, 3)
    shown = np.median(images.reshape(16, -1), axis=1)
    assert list(shown) != sorted(shown)
    logits = np.stack([shown % 3 == place for place in range(3)], axis=1).astype(np.float32)
    copies, test, validation = line.sorted(logits, tiny_backbone)
    assert test["predicted"].tolist() == copies["predicted"].tolist() == [number % 3 for number in range(20, 26)]
    assert validation["predicted"].tolist() == [number % 3 for number in range(60, 64)]
    assert validation["image"].tolist() == pools[1].names.tolist()


def test_every_order_is_another(pools, tmp_path):
    for name in ("one", "other"):
        Line(pools).save(tmp_path / f"{name}.npy")
    assert not np.array_equal(np.load(tmp_path / "one.npy"), np.load(tmp_path / "other.npy"))


def test_answers_that_are_not_numbers_are_refused(pools, tiny_backbone):
    with pytest.raises(Diverged):
        Line(pools).sorted(np.full((16, 3), np.nan, np.float32), tiny_backbone)


def test_a_copy_differs_by_one_grey_level_in_few_places():
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    copy = changed_copy(image, np.random.default_rng(1))
    difference = np.abs(copy.astype(int) - image)
    assert difference.max() == 1
    assert 0.03 < difference.mean() < 0.07


def test_a_classifier_that_looks_at_images_is_steady(tiny_backbone):
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
    copies = np.stack([changed_copy(image, np.random.default_rng(place)) for place, image in enumerate(images)])
    text = tiny_backbone.text_features(["a", "b", "c"])
    answers = [
        (tiny_backbone.image_features(torch.from_numpy(part).permute(0, 3, 1, 2)) @ text.T).argmax(dim=1).numpy()
        for part in (images, copies)
    ]
    frames = [random_predictions(count=64).assign(predicted=found) for found in answers]
    require_steady(*frames)
    with pytest.raises(RunFailed, match="slightly changed"):
        require_steady(frames[0], frames[0].assign(predicted=(frames[0]["predicted"] + 1) % 3))


def scored(mem: float, error: float, count: int) -> object:
    """Predictions with a Mem and a For."""
    frame = random_predictions(count=count)
    place = frame.groupby("forget").cumcount() / frame.groupby("forget")["label"].transform("size")
    right = place < np.where(frame["forget"], 1 - error, mem)
    return frame.assign(predicted=np.where(right, frame["label"], (frame["label"] + 1) % 3))


@pytest.mark.parametrize(
    ("test", "validation", "known"),
    [
        ((0.7, 0.6), (0.7, 0.6), ""),
        ((0.75, 0.6), (0.7, 0.6), ""),
        ((0.5, 0.6), (0.9, 0.9), ""),
        ((1.0, 0.6), (0.7, 0.6), "Mem is 100.0 on test images and 70.0 on validation images"),
        ((0.7, 1.0), (0.7, 0.5), "For is 100.0 on test images and 50.0 on validation images"),
    ],
)
def test_a_method_that_is_better_on_test_images_than_on_validation_images_knows_them(test, validation, known):
    frames = scored(*test, 1800), scored(*validation, 600)
    if not known:
        require_no_memory(*frames)
        return
    with pytest.raises(RunFailed, match=known):
        require_no_memory(*frames)


def test_few_images_show_nothing():
    require_no_memory(scored(1.0, 0.6, 30), scored(0.7, 0.6, 30))
