from __future__ import annotations

import os

from adu_bench.data.speed import TURNS, measure_files


def test_the_benchmark_of_files_measures_every_part_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache, steps = os.environ["ADU_BENCH_CACHE"], {}
    found = measure_files(3 * TURNS, lambda step, done, total: steps.update({step: (done, total)}))
    assert set(found) == {
        *(f"{part}_{what}" for part in ("index", "cache") for what in ("files_per_second", "mb_per_second", "ratio")),
        "read_images_per_second",
        "peak_memory_mb",
    }
    assert min(found.values()) > 0
    assert steps == dict.fromkeys(("writing files", "index", "index in one go", "cache"), (30, 30))
    assert os.environ["ADU_BENCH_CACHE"] == cache
    assert list(tmp_path.iterdir()) == []
