"""Scores of boards are kept in the cache, and count only for what they were computed from."""

from __future__ import annotations

import os
import random

import pandas as pd
import pytest

from adu_bench.leaderboard import scored
from adu_bench.leaderboard.board import make_board
from adu_bench.leaderboard.rows import read_suite, write_row
from adu_bench.store import Run, Store, signature
from tests.conftest import forge_run, random_predictions
from tests.leaderboard.test_board import made_up_plan, planned, write_block


@pytest.fixture(autouse=True)
def at_once(monkeypatch, tmp_path):
    """Keep the scores of few and young runs, in a cache of their own."""
    monkeypatch.setattr(signature, "SETTLED", 0)
    monkeypatch.setattr(scored, "WORTH", 2)
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def read(monkeypatch):
    """The keys of the runs whose predictions were read, in order."""
    keys = []
    predictions = Run.predictions
    monkeypatch.setattr(Run, "predictions", lambda run: keys.append(run.key) or predictions(run))
    return keys


BLOCKS = planned("one"), planned("two")
PLAN = made_up_plan(*BLOCKS)


def _board(root):
    return make_board(PLAN, Store(root).runs())


def _same(one, two):
    pd.testing.assert_frame_equal(one.frame, two.frame)
    assert [(row.method, row.rank, dict(row.values)) for row in one.rows] == [
        (row.method, row.rank, dict(row.values)) for row in two.rows
    ]
    assert (one.sample.tasks, one.sample.seeds) == (two.sample.tasks, two.sample.seeds)
    assert one.sample.difference("one", "two") == two.sample.difference("one", "two")


@pytest.fixture
def runs(tmp_path):
    for block in BLOCKS:
        write_block(tmp_path / "runs", block)
    return tmp_path / "runs"


def test_a_board_is_scored_once_and_stays_the_same(runs, read):
    first = _board(runs)
    assert read
    read.clear()
    _same(_board(runs), first)
    assert not read


def test_other_content_is_scored_again(runs, read):
    first = _board(runs)
    changed = BLOCKS[0][0]
    folder = runs / changed.spec.key
    random_predictions(9, forget=changed.spec.task.forget).to_parquet(folder / "predictions.parquet", index=False)
    forge_run(folder)
    read.clear()
    again = _board(runs)
    assert changed.spec.key in read
    assert again.rows[0].values != first.rows[0].values
    assert len(list(scored.cache_dir().rglob("*.npz"))) == 1, "one file per plan"


def test_other_code_scores_again(runs, read, monkeypatch):
    _board(runs)
    read.clear()
    monkeypatch.setattr(scored, "_code", lambda: ["changed"])
    _board(runs)
    assert read


def test_what_is_damaged_or_cannot_be_written_is_computed(runs, read, tmp_path, monkeypatch):
    first = _board(runs)
    (kept,) = scored.cache_dir().rglob("*.npz")
    whole, draw = kept.read_bytes(), random.Random(0)
    for _ in range(3):
        place = draw.randrange(8 * len(whole))
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        kept.write_bytes(content)
        read.clear()
        _same(_board(runs), first)
        assert read, f"bit {place}"
    kept.write_bytes(whole[:40])
    _same(_board(runs), first)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path / "file"))
    _same(_board(runs), first)


def test_young_runs_are_not_kept(runs, read, monkeypatch):
    monkeypatch.setattr(signature, "SETTLED", 3600 * 10**9)
    _board(runs)
    assert not list(scored.cache_dir().rglob("*.npz"))


def test_rows_are_known_by_the_hash_of_their_predictions(runs, tmp_path):
    found = {run.key: run for run in Store(runs).runs()}
    block = BLOCKS[0]
    path = write_row(tmp_path / "rows", "toy", block, [found[run.spec.key] for run in block], {})
    rows = read_suite(tmp_path / "rows", "toy").runs
    assert len({run.source for run in rows}) == len(rows)
    os.utime(path.with_suffix(".parquet"))
    assert [run.source for run in read_suite(tmp_path / "rows", "toy").runs] == [run.source for run in rows]
    other = write_row(tmp_path / "rows", "toy", block, [found[run.spec.key] for run in BLOCKS[1]], {})
    assert other == path
    assert not {run.source for run in read_suite(tmp_path / "rows", "toy").runs} & {run.source for run in rows}
