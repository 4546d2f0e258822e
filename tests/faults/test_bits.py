"""One flipped bit in any file of a run or of a cache is noticed, and named."""

from __future__ import annotations

import random
from hashlib import sha256

import numpy as np
import pytest

from adu_bench.core.errors import UserError
from adu_bench.data.rows import RowCache, keys_of
from adu_bench.store import Store
from tests.conftest import make_spec, write_run


def flip(path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place // 8 % len(content)] ^= 1 << place % 8
    path.write_bytes(content)


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_flipped_bit_in_a_run_is_noticed(tmp_path, count):
    key = write_run(tmp_path, make_spec())
    store, rng = Store(tmp_path), random.Random(count)
    files = sorted((tmp_path / key).iterdir())
    assert store.damage(key) == ""
    for number in range(count):
        path = files[number % len(files)]
        whole = path.read_bytes()
        place = rng.randrange(8 * len(whole))
        flip(path, place)
        assert store.damage(key), f"{path.name}, bit {place}"
        path.write_bytes(whole)
    assert store.damage(key) == ""


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_flipped_bit_in_a_cache_changes_no_row(tmp_path, monkeypatch, count):
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path))
    rows = np.arange(60, dtype=np.float32).reshape(20, 3)
    keys, rng = keys_of(sha256(bytes([i])).hexdigest() for i in range(20)), random.Random(count)

    def used() -> np.ndarray:
        cache = RowCache("rows", (3,), np.float32, {})
        cache.ensure(keys, lambda which: [(which, rows[which])])
        return np.asarray(cache.rows[cache.places(keys)])

    np.testing.assert_array_equal(used(), rows)
    files = [tmp_path / "rows" / name for name in ("keys", "rows", "sums")]
    whole = {path: path.read_bytes() for path in files}
    noticed = 0
    for number in range(count):
        path = files[number % 3]
        flip(path, rng.randrange(8 * len(whole[path])))
        try:
            # A row whose key is damaged is missing, and computed again.
            np.testing.assert_array_equal(used(), rows)
        except UserError:
            noticed += 1
        for each, content in whole.items():
            each.write_bytes(content)
    assert noticed >= count // 3
