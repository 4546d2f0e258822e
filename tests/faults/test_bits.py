"""One flipped bit in any file of a run, of a cache or of a prepared data set is noticed; caches are made again."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adu_bench.clip.identity import SHIPPED
from adu_bench.clip.weights import backbone_spec
from adu_bench.core.errors import UserError
from adu_bench.data import prepared
from adu_bench.data.cache import cached
from adu_bench.data.files import inspect_files
from adu_bench.data.prepare.build import prepare
from adu_bench.data.rows import RowCache, keys_of
from adu_bench.store import Store, index, signature
from adu_bench.store.artefacts import Artefact, read_artefact, write_artefact
from tests.conftest import make_spec, write_run
from tests.data.trees import grow

COUNTS = pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
MADE_AGAIN = "made again"
ROWS = np.arange(60, dtype=np.float32).reshape(20, 3)
KEYS = keys_of(sha256(bytes([i])).hexdigest() for i in range(20))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place // 8 % len(content)] ^= 1 << place % 8
    path.write_bytes(content)


def flips(files: list[Path], count: int) -> Any:
    """Flip a random bit of each file in turn, yield the file and the bit, and restore all files in their folders."""
    rng = random.Random(count)
    beside = {path for file in files for path in file.parent.iterdir() if path.is_file()}
    whole = {path: path.read_bytes() for path in beside}
    for number in range(count):
        path = files[number % len(files)]
        place = rng.randrange(8 * len(whole[path]))
        flip(path, place)
        yield path, place
        for each, content in whole.items():
            each.write_bytes(content)


@COUNTS
def test_a_flipped_bit_in_a_run_is_noticed(tmp_path, count):
    key = write_run(tmp_path, make_spec())
    store = Store(tmp_path)
    assert store.damage(key) == ""
    for path, place in flips(sorted((tmp_path / key).iterdir()), count):
        assert store.damage(key), f"{path.name}, bit {place}"
    assert store.damage(key) == ""


def _rows(_: Path) -> np.ndarray:
    cache = RowCache("rows", (3,), np.float32, {})
    cache.ensure(KEYS, lambda which: [(which, ROWS[which])])
    return np.asarray(cache.rows[cache.places(KEYS)])


def _inspected(folder: Path) -> Any:
    return inspect_files(folder / "images", ["a/000.png", "a/001.png", "a/002.png"], 1).to_dict()


CACHES: dict[str, tuple[str, Callable[[Path], Any], bool]] = {
    "rows": ("rows/[rs]*", _rows, True),
    "keys of rows": ("rows/keys", _rows, False),  # a row whose key is damaged is missing, and computed again
    "drawn images": ("drawn.npy", lambda _: np.array(cached("drawn", lambda: ROWS)), True),
    "what was read of images": ("inspected/*.jsonl", _inspected, False),  # damaged lines are read again
    "hashes of weights": ("backbones.json", lambda _: backbone_spec(SHIPPED).weights_hash, True),
}


@COUNTS
@pytest.mark.parametrize("name", CACHES)
def test_a_flipped_bit_in_a_cache_changes_nothing(tmp_path, monkeypatch, capsys, name, count):
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path / "cache"))
    grow(tmp_path / "images", ["a"], 3)
    pattern, used, told = CACHES[name]
    right = used(tmp_path)
    for path, place in flips(sorted((tmp_path / "cache").glob(pattern)), count):
        capsys.readouterr()
        np.testing.assert_equal(used(tmp_path), right, f"{path.name}, bit {place}")
        assert (MADE_AGAIN in capsys.readouterr().err) == told, f"{path.name}, bit {place}"
    assert MADE_AGAIN not in capsys.readouterr().err


@COUNTS
def test_a_flipped_bit_in_a_prepared_data_set_is_refused(tmp_path, monkeypatch, count):
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ADU_BENCH_DATA", str(tmp_path / "data"))
    grow(tmp_path / "images", ["day/dog", "day/cat", "night/dog", "night/cat"])
    made = prepare("mine", tmp_path / "images")
    for path, place in flips([made.folder / "dataset.json", made.index_file], count):
        with pytest.raises(UserError, match="Prepare it again"):
            print(path.name, place, prepared.require("mine").read_index())
    assert len(prepared.require("mine").read_index()) == 24


@COUNTS
def test_a_flipped_bit_beside_the_runs_is_noticed(tmp_path, monkeypatch, count):
    monkeypatch.setattr(signature, "SETTLED", 0)
    key = write_run(tmp_path, make_spec())
    right = Store(tmp_path).runs()
    made = Artefact({"x": np.arange(6, dtype=np.float32)}, {"count": 2})
    artefact = write_artefact(tmp_path, key, "some", made)
    for path, _ in flips([artefact, tmp_path / index.FILE], count):
        if path == artefact:
            with pytest.raises(UserError, match="is damaged"):
                read_artefact(tmp_path, key, "some")
        else:
            assert Store(tmp_path).runs() == right
