"""Images of a data set as a backbone wants them: the same pixels as without a cache, from drawings and from files."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from adu_bench.core.errors import UserError
from adu_bench.data import image_cache as module
from adu_bench.data.decode import BadImage
from adu_bench.data.preprocessing import Preprocessing
from adu_bench.data.sources import Source, open_source

PREPROCESSING = Preprocessing(32, "bicubic", "shortest")
COUNT = 30


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def source(tmp_path):
    """A data set of 30 image files in two formats and many shapes."""
    rng, rows = np.random.default_rng(0), []
    for number in range(COUNT):
        domain, path = "ab"[number % 2], f"{'ab'[number % 2]}/x/{number}.{('png', 'jpg')[number % 3 == 0]}"
        file = tmp_path / "images" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        shape = (*rng.integers(8, 90, 2), 3)
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(file)
        rows.append((path, domain, "x", "test", hashlib.sha256(file.read_bytes()).hexdigest(), path))
    index = pd.DataFrame(rows, columns=["image", "domain", "label", "pool", "sha256", "path"])
    return Source("mine", "Mine", "", ("a", "b"), lambda: index, root=tmp_path / "images")


@pytest.mark.parametrize("name", ["toy", "emoji"])
@pytest.mark.parametrize(
    "preprocessing", [Preprocessing(48, "bicubic", "shortest"), Preprocessing(20, "bilinear", "squash")]
)
def test_drawn_images_have_the_pixels_that_the_preprocessing_gives(name, preprocessing):
    some = open_source(name).index.iloc[::40].reset_index(drop=True)
    source = replace(open_source(name), read_index=lambda: some)
    positions = np.arange(len(some))
    taken = source.images(preprocessing).take(positions)
    assert taken.shape == (len(positions), preprocessing.size, preprocessing.size, 3)
    for position, image in zip(positions, taken, strict=True):
        assert np.array_equal(image, preprocessing.apply(Image.fromarray(source.pixels[position])))


def test_files_have_the_pixels_that_the_preprocessing_gives(source):
    positions = np.array([7, 3, 3, 28, 0])
    taken = source.images(PREPROCESSING).take(positions)
    for position, image in zip(positions, taken, strict=True):
        opened = Image.open(source.root / source.index["path"][position])
        assert np.array_equal(image, PREPROCESSING.apply(opened))


def test_only_what_is_asked_for_is_decoded_and_only_once(source, monkeypatch):
    opened = []
    real = Source.master
    monkeypatch.setattr(Source, "master", lambda self, position: opened.append(int(position)) or real(self, position))
    source.images(PREPROCESSING).ensure(np.array([4, 9]))
    source.images(PREPROCESSING).take(np.array([9, 5, 4]))
    assert sorted(opened) == [4, 5, 9]
    assert len(source.images(PREPROCESSING).rows) == 3


def test_the_cache_serves_where_the_files_no_longer_are_changed(source):
    before = source.images(PREPROCESSING).take(np.arange(COUNT))
    for path in source.root.rglob("*.*g"):
        path.unlink()
    assert np.array_equal(source.images(PREPROCESSING).take(np.arange(COUNT)), before)


def test_blocks_are_written_as_they_come(source, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 4 * 32 * 32 * 3)
    seen = []
    source.images(PREPROCESSING).ensure(np.arange(COUNT), lambda done, total: seen.append((done, total)))
    assert seen == [(count, COUNT) for count in (4, 8, 12, 16, 20, 24, 28, 30)]


def test_all_images_that_cannot_be_used_are_named_at_once(source):
    (source.root / "a/x/2.png").write_bytes(b"")
    (source.root / "b/x/5.png").unlink()
    shutil.copy(source.root / "a/x/8.png", source.root / "a/x/10.png")
    (source.root / "b/x/9.jpg").unlink()
    (source.root / "b/x/9.jpg").mkdir()
    with pytest.raises(UserError) as caught:
        source.images(PREPROCESSING).take(np.arange(1, COUNT))
    assert caught.value.what.splitlines() == [
        "4 of 29 images of 'mine' cannot be used:",
        "  a/x/2.png: not the file that was prepared",
        "  b/x/5.png: missing",
        "  b/x/9.jpg: a folder",
        "  a/x/10.png: not the file that was prepared",
    ]
    assert "adu-bench data prepare mine --skip-bad" in caught.value.remedy
    assert len(source.images(PREPROCESSING).rows) == COUNT - 1 - 4  # the others need not be decoded again


def test_a_damaged_file_that_was_indexed_is_named_with_its_reason(source):
    damaged = (source.root / "a/x/2.png").read_bytes()[:-200]
    (source.root / "a/x/2.png").write_bytes(damaged)
    source.index.loc[2, "sha256"] = hashlib.sha256(damaged).hexdigest()
    with pytest.raises(BadImage, match="damaged"):
        source.master(2)


def test_a_folder_that_is_gone_is_one_sentence_and_not_a_list(source):
    shutil.rmtree(source.root)
    with pytest.raises(UserError, match="adu-bench data prepare mine --from DIR"):
        source.images(PREPROCESSING)


def test_training_images_keep_their_full_extent(source):
    positions = np.array([7, 3, 3, 28, 0])
    canvases, extents = source.training_images(PREPROCESSING).take(positions)
    assert canvases.dtype == np.uint8
    assert extents.dtype == np.int32
    assert canvases.shape[1:3] == tuple(extents[:, :2].max(axis=0))
    for position, canvas, extent in zip(positions, canvases, extents, strict=True):
        image = Image.open(source.root / source.index["path"][position]).convert("RGB")
        width, height = extent[:2]
        assert tuple(extent[2:]) == image.size
        assert max(width, height) == min(64, max(image.size))
        assert width / height == pytest.approx(image.width / image.height, rel=0.1)
        if image.size == (width, height):
            assert np.array_equal(canvas[:width, :height].swapaxes(0, 1), np.asarray(image))
        assert not canvas[width:].any()
        assert not canvas[:, height:].any()


def test_both_caches_name_damaged_images_alike(source):
    (source.root / "a/x/2.png").write_bytes(b"")
    for cache in (source.images(PREPROCESSING), source.training_images(PREPROCESSING)):
        with pytest.raises(UserError, match=r"a/x/2\.png: not the file that was prepared"):
            cache.ensure(np.array([2, 3]))
        assert len(cache.rows) == 1


def test_a_very_long_image_keeps_one_pixel_of_its_short_side():
    canvas, extent = Preprocessing(16, "bicubic", "shortest").full(Image.new("RGB", (6000, 40), (9, 8, 7)))
    assert extent.tolist() == [32, 1, 6000, 40]
    assert canvas[:, 0].tolist() == [[9, 8, 7]] * 32
