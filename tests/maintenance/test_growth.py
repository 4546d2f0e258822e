"""The tool that measures many runs makes runs that count, and its steps do what they are called."""

from __future__ import annotations

import pytest

from adu_bench.maintenance import growth
from adu_bench.store import Store


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("growth") / "runs"
    growth.make_runs(root, growth.selection(60).plan())
    return root


def test_every_run_is_different_and_whole(root):
    plan, store = growth.selection(60).plan(), Store(root)
    assert len(plan.runs) >= 60
    assert plan.unfinished(store) == ()
    assert store.keys() == sorted(run.spec.key for run in plan.runs)
    assert [store.damage(key) for key in store.keys()[::10]] == [""] * len(store.keys()[::10])


def test_status_counts_all_runs_and_the_board_those_of_one_seed(root, capsys):
    selection = growth.selection(60)
    labels = {run.label for run in selection.plan().runs}
    methods, tasks, seeds = len(labels), 4, len(selection.seeds)
    assert growth.measure("status", root, 60)["mb"] > 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == methods
    assert all(line.endswith(f": {tasks * seeds} finished") for line in lines)
    growth.measure("board", root, 60)
    board = capsys.readouterr().out.splitlines()
    assert len(board) == 1 + methods
    assert "finished" not in "".join(board), "a row that is not complete gives its reason"
