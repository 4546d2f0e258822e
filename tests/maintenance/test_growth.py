"""The tool that measures many runs makes runs that count, and its steps do what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from adu_bench.maintenance import growth
from adu_bench.store import Store


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("growth") / "runs"
    growth.make_runs(root, growth.planned(60))
    return root


def test_every_run_is_different_and_whole(root):
    plan, store = growth.planned(60), Store(root)
    assert len(plan.runs) >= 60
    assert plan.unfinished(store) == ()
    assert store.keys() == sorted(run.spec.key for run in plan.runs)
    assert [store.damage(key) for key in store.keys()[::10]] == [""] * len(store.keys()[::10])


def test_status_counts_all_runs_and_the_board_those_of_one_seed(root):
    runs, steps = growth.planned(60).runs, growth.steps(root, 60)
    methods = {run.label for run in runs}
    figures, output = growth.measure(steps["status"])
    assert min(figures.values()) > 0
    assert len(output.splitlines()) == len(methods)
    assert all(line.endswith(f": {len(runs) // len(methods)} finished") for line in output.splitlines())
    _, board = growth.measure(steps["board"])
    assert len(board.splitlines()) == 1 + len(methods)
    assert "finished" not in board, "a row that is not complete gives its reason"


def test_the_memory_of_the_measuring_process_does_not_count():
    mine = np.ones(40_000_000)
    figures, output = growth.measure(["-c", "print('out')"])
    assert mine.nbytes / 2**20 > 300 > 100 > figures["mb"] > 1
    assert output == "out\n"
    with pytest.raises(RuntimeError, match="ended with code 3"):
        growth.measure(["-c", "raise SystemExit(3)"])
