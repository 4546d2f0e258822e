from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adu_bench.core.errors import UserError
from adu_bench.core.paths import cache_dir
from adu_bench.core.specs import Task
from adu_bench.data.cache import cached
from adu_bench.data.index import data_hash, task_rows
from adu_bench.data.overlap import shared_shots
from adu_bench.data.preprocessing import Preprocessing
from adu_bench.data.sampler import draw_shots
from adu_bench.data.sources import open_source
from adu_bench.suites import load_suite


def test_toy_images_are_drawn_once_and_memory_mapped():
    source = open_source("toy")
    pixels = source.pixels
    assert isinstance(pixels, np.memmap)
    assert pixels.shape == (len(source.index), 48, 48, 3)
    assert pixels.std(axis=(1, 2, 3)).min() > 2


def test_the_data_hash_does_not_depend_on_order_but_on_content():
    index = open_source("toy").index
    assert data_hash(index) == data_hash(index.sample(frac=1, random_state=1))
    assert data_hash(index) != data_hash(index.assign(pool="test"))


def test_unknown_data_sets_are_refused():
    with pytest.raises(UserError, match="Did you mean emoji"):
        open_source("emojis")


def test_a_damaged_cache_entry_is_made_again():
    made = []

    def make():
        made.append(1)
        return np.arange(6)

    assert cached("some/entry", make).tolist() == list(range(6))
    assert cached("some/entry", make).tolist() == list(range(6))
    assert len(made) == 1
    (cache_dir() / "some/entry.npy").write_bytes(b"rubbish")
    assert cached("some/entry", make).tolist() == list(range(6))
    assert len(made) == 2


def test_an_interrupted_entry_is_not_taken_for_a_result():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("some/other", interrupted)
    assert cached("some/other", lambda: np.ones(2)).tolist() == [1, 1]


def test_what_a_killed_process_left_of_an_entry_is_deleted():
    folder = cache_dir() / "some"
    folder.mkdir(exist_ok=True)
    (folder / ".third.npy.4000000.tmp").write_bytes(b"half")
    cached("some/third", lambda: np.ones(3))
    assert not list(folder.glob(".third*.tmp"))


def test_an_unusable_cache_folder_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="ADU_BENCH_CACHE"):
        cached("x", lambda: np.ones(1))


@pytest.mark.parametrize("size", [(100, 60), (60, 100), (48, 48), (7, 300)])
@pytest.mark.parametrize("mode", ["shortest", "squash"])
def test_preprocessing_agrees_with_open_clip(size, mode):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    settings = PreprocessCfg(size=48, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bicubic", resize_mode=mode)
    theirs = (image_transform_v2(settings, is_train=False)(image) * 255).round().numpy().transpose(1, 2, 0)
    ours = Preprocessing(48, "bicubic", mode).apply(image).astype(float)
    assert np.abs(ours - theirs).max() <= 1


def task_of(index: pd.DataFrame, shots: int, forget: str = "a") -> Task:
    domains, classes = tuple(sorted(index["domain"].unique())), tuple(sorted(index["label"].unique()))
    return Task("made-up", "h" * 20, domains, (forget,), classes, "{}", shots)


def index_with(counts: dict[tuple[str, str], int]) -> pd.DataFrame:
    rows = [
        (f"{domain}-{label}-{i}", domain, label, pool, "")
        for (domain, label), count in counts.items()
        for pool, number in (("train", count), ("test", 3))
        for i in range(number)
    ]
    return pd.DataFrame(rows, columns=["image", "domain", "label", "pool", "sha256"])


@settings(max_examples=40, deadline=None)
@given(
    counts=st.fixed_dictionaries({(d, c): st.integers(1, 6) for d in "ab" for c in "xyz"}),
    shots=st.integers(1, 8),
    seed=st.integers(0, 5),
)
def test_shots_are_k_of_every_pair_without_needless_repeats(counts, shots, seed):
    index = index_with(counts)
    task = task_of(index, shots)
    drawn = draw_shots(index, task, seed)
    chosen = index.loc[drawn]
    assert (chosen["pool"] == "train").all()
    sizes = chosen.groupby(["domain", "label"]).size()
    assert (sizes == shots).all()
    assert len(sizes) == len(counts)
    for pair, part in chosen.groupby(["domain", "label"]):
        assert part["image"].nunique() == min(shots, counts[pair])


def test_shots_do_not_depend_on_the_forget_set_and_do_on_the_seed():
    index = open_source("toy").index
    rows = task_rows(index, ("filled", "outline"), ("circle", "star"))
    first = draw_shots(rows, task_of(rows, 4, "filled"), 1)
    assert (first == draw_shots(rows, task_of(rows, 4, "outline"), 1)).all()
    assert (first != draw_shots(rows, task_of(rows, 4, "filled"), 2)).any()


def test_a_pair_without_images_is_left_out():
    index = index_with({("a", "x"): 2, ("a", "y"): 2, ("b", "x"): 2})
    drawn = index.loc[draw_shots(index, task_of(index, 3), 1)]
    assert drawn.groupby(["domain", "label"]).size().to_dict() == {("a", "x"): 3, ("a", "y"): 3, ("b", "x"): 3}


@pytest.mark.parametrize(
    ("change", "missing"), [({"classes": ("x", "z")}, "class 'z'"), ({"domains": ("a", "c")}, "'c'")]
)
def test_a_class_or_domain_without_images_is_named(change, missing):
    index = index_with({("a", "x"): 2, ("b", "x"): 2})
    with pytest.raises(UserError, match=f"no training image of the .*{missing}"):
        draw_shots(index, replace(task_of(index, 1), **change), 1)


@pytest.mark.parametrize(("counts", "shots"), [((8, 8), 4), ((4, 10), 3), ((2, 6), 4)])
def test_the_share_of_shots_that_two_seeds_have_in_common(counts, shots):
    """Expected by hand, and over 400 pairs of draws (3 %)."""
    index = index_with({("a", "x"): counts[0], ("b", "x"): counts[1]})
    task = task_of(index, shots)
    expected = np.mean([min(1, shots / count) for count in counts])
    assert shared_shots(index, task) == pytest.approx(expected)
    if min(counts) >= shots:
        drawn = [set(draw_shots(index, task, seed)) for seed in range(800)]
        share = np.mean([len(one & two) / len(one) for one, two in zip(drawn[::2], drawn[1::2], strict=True)])
        assert share == pytest.approx(expected, abs=0.03)


def test_two_seeds_share_58_per_cent_of_their_shots_on_emoji():
    suite = load_suite("emoji")
    rows = task_rows(open_source("emoji").index, suite.domains, suite.classes)
    assert shared_shots(rows, suite.tasks("any")[0]) == pytest.approx(0.58, abs=0.005)
