"""Boards that the tests of the web page share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adu_bench.leaderboard.board import Board, make_board
from adu_bench.runner.plan import Plan, PlannedRun
from adu_bench.store import Store
from adu_bench.suites import load_suite
from tests.conftest import random_predictions, write_run
from tests.leaderboard.test_board import made_up_plan, planned


def with_pairs(method: str, group: str) -> list[PlannedRun]:
    """A block that forgets one domain, and two."""
    block = planned(method, group, seeds=(1,))
    pairs = [
        replace(block[0], spec=replace(block[0].spec, task=replace(block[0].spec.task, forget=forget)))
        for forget in (("a", "b"), ("b", "c"))
    ]
    return [*block, *pairs]


def blocks() -> list[list[PlannedRun]]:
    """All families, one number and two numbers of forgotten domains, and a block that is not complete."""
    return [
        with_pairs("adu", "paper"),
        with_pairs("baseline", "paper"),
        with_pairs("adu-less", "ablation"),
        with_pairs("zero-shot", "reference"),
        with_pairs("late", "other"),
    ]


def write_blocks(root) -> None:
    *complete, late = blocks()
    for seed, run in enumerate(run for block in [*complete, late[:1]] for run in block):
        write_run(root, run.spec, run.label, random_predictions(seed, forget=run.spec.task.forget))


def two_boards(root) -> list[Board]:
    """A suite with two numbers of forgotten domains, and a second one with a single number from the same runs."""
    found = Store(root).runs()
    single = [run for block in blocks()[:2] for run in block if len(run.spec.task.forget) == 1]
    second = Plan(replace(load_suite("toy"), name="second"), tuple(single))
    return [make_board(made_up_plan(*blocks()), found), make_board(second, found)]


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_blocks(folder)
    return folder


@pytest.fixture(scope="session")
def boards(root) -> list[Board]:
    return two_boards(root)
