"""Evaluation goes on with smaller batches where the device is out of memory, and gives the same answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from adu_bench.clip.memory import is_out_of_memory
from adu_bench.core.errors import RunFailed
from adu_bench.runner import batches
from adu_bench.runner.batches import in_batches
from adu_bench.runner.evaluate import Images, predict

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(batches, "_fitting", {})


def limited(largest: int, error: Exception, sizes: list[int]):
    def work(part: slice) -> list[int]:
        sizes.append(part.stop - part.start)
        if sizes[-1] > largest:
            raise error
        return list(range(part.start, part.stop))

    return work


def test_parts_cover_everything_in_order():
    parts = list(in_batches(10, 4, CPU, lambda part: (part.start, part.stop)))
    assert parts == [(0, 4), (4, 8), (8, 10)]
    assert list(in_batches(0, 4, CPU, lambda part: part)) == []


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
)
def test_a_part_that_does_not_fit_is_halved_and_the_size_is_kept(error):
    sizes: list[int] = []
    found = [item for part in in_batches(100, 64, CPU, limited(10, error, sizes)) for item in part]
    assert found == list(range(100))
    assert sizes == [64, 32, 16, *[8] * 12, 4]
    sizes.clear()
    assert len([*in_batches(24, 64, CPU, limited(10, error, sizes))]) == 3
    assert sizes == [8, 8, 8]


def test_real_exhaustion_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**14)
    assert is_out_of_memory(caught.value)


def test_other_errors_are_not_taken_for_it():
    with pytest.raises(RuntimeError, match="shapes"):
        list(in_batches(8, 4, CPU, limited(1, RuntimeError("shapes do not match"), [])))
    assert batches._fitting == {}


def test_one_image_that_does_not_fit_fails_the_run():
    with pytest.raises(RunFailed, match="Not even one image"):
        list(in_batches(8, 8, CPU, limited(0, torch.OutOfMemoryError(), [])))


def test_predictions_are_the_same_with_smaller_batches(tiny_problem, tiny_backbone, monkeypatch):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 16, 16, 3), np.uint8)
    rows = rng.permutation(50)[:37]
    frozen = tiny_backbone.image_features(torch.from_numpy(pixels[rows]).permute(0, 3, 1, 2)).numpy()
    names = np.array([f"image {row}" for row in rows], object)
    images = Images(pixels, rows, names, np.array(["a"] * 37, object), rows % 3, np.zeros(37, bool), frozen)
    classifier = tiny_problem.classifier().eval()
    classifier.unfreeze("visual.ln_post.*")  # so that images are encoded instead of using frozen features
    whole, whole_features = predict(classifier, images, 32)
    sizes = []
    real = classifier.features

    def small(batch, frozen=None):
        sizes.append(len(batch))
        if len(batch) > 6:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(batch, frozen)

    monkeypatch.setattr(classifier, "features", small)
    shares = []
    halved, halved_features = predict(
        classifier, images, 32, report=lambda step, done, total: shares.append(done / total)
    )
    assert sizes == [32, 16, 8, *[4] * 9, 1]
    assert shares[-1] == 1
    assert shares == sorted(shares)
    assert whole.drop(columns=["p_label", "p_max", "entropy", "margin"]).equals(
        halved.drop(columns=["p_label", "p_max", "entropy", "margin"])
    )
    pd.testing.assert_frame_equal(whole, halved, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(whole_features, halved_features, atol=1e-5)
