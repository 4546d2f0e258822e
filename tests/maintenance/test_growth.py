"""The tool that measures many runs makes runs that count, and its steps do what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from adu_bench.maintenance import growth
from adu_bench.store import Store
from adu_bench.workflows.board import Results, board_of
from adu_bench.workflows.selection import Selection


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


def test_a_board_reads_other_runs_only_to_say_why_some_are_missing(root, monkeypatch):
    asked = []
    runs = Store.runs
    monkeypatch.setattr(Store, "runs", lambda store, keys=None: asked.append(keys) or runs(store, keys))
    chosen = Selection(growth.SUITE, methods="zero-shot,coin", seeds=(1,)), Results(runs=str(root))
    board = board_of(*chosen)
    wanted = sorted(run.key for run in board.runs)
    assert asked == [wanted]
    hidden = root / wanted[0]
    hidden.rename(root / "hidden")
    try:
        reasons = {row.method: row.reason for row in board_of(*chosen).rows}
    finally:
        (root / "hidden").rename(hidden)
    assert asked[1:] == [wanted, None]
    assert sorted(bool(reason) for reason in reasons.values()) == [False, True]
