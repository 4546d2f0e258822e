"""What a suite sets instead of a method's default stands under its board."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from adu_bench.leaderboard.board import make_board
from adu_bench.leaderboard.committed import committed_board
from adu_bench.leaderboard.rows import write_row
from adu_bench.registry import Catalogue
from adu_bench.report.tables.board import FORMATS
from adu_bench.report.web.page import web_page
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite
from tests.conftest import random_predictions, write_run

BUDGET = {"epochs": 16, "crop": 0.5, "bbf": {"iterations": 40}}
SETTINGS = {"adu": {"lr": 0.013, "gamma": 1.5}}
ADU = "budget: epochs 16 (50), crop 0.5 (0.08); tuned: lr 0.013 (0.0025), gamma 1.5 (30)"


def defaults(method: str) -> dict:
    return {name: field.default for name, field in Catalogue().presets[method][1].fields.items()}


@pytest.fixture
def planned():
    suite = replace(load_suite("toy"), budget=BUDGET, settings=SETTINGS)
    return plan(suite, Catalogue().select(["adu", "baseline", "clipfit", "bbf", "zero-shot"]))


@pytest.fixture
def board(planned, tmp_path):
    for number, run in enumerate(planned.runs):
        frame = random_predictions(number, forget=("a",), classes=6)
        write_run(tmp_path / "runs", run.spec, run.label, frame)
    return make_board(planned, Store(tmp_path / "runs").runs())


def test_every_method_has_a_line_with_value_and_default_and_equal_lines_are_joined(board):
    own = defaults("adu")
    assert (own["epochs"], own["crop"], own["lr"], own["gamma"]) == (50, 0.08, 0.0025, 30.0)
    text = FORMATS["md"](board)
    assert f"- `adu`: {ADU}\n" in text
    assert f"- `bbf`: budget: iterations 40 ({defaults('bbf')['iterations']})" in text
    assert "- `zero-shot`" not in text
    lines = [line for line in text.splitlines() if line.endswith(": budget: epochs 16 (50), crop 0.5 (0.08)")]
    assert len(lines) == 1
    assert "`baseline`" in lines[0]
    page = web_page([board], {})
    assert f"<b>adu</b>: {ADU}" in page
    rows = {row["method"]: row for row in json.loads(FORMATS["json"](board))}
    assert rows["adu"]["budget"]["epochs"] == {"value": 16, "default": 50}
    assert rows["adu"]["tuned"]["gamma"] == {"value": 1.5, "default": 30.0}
    assert (rows["zero-shot"]["budget"], rows["zero-shot"]["tuned"]) == ({}, {})


def test_stale_rows_show_the_values_that_they_were_computed_with(planned, tmp_path):
    """The toy suite has another budget than these rows, so all of them are stale."""
    store = Store(tmp_path / "runs")
    for run in planned.runs:
        frame = random_predictions(forget=("a",), classes=6)
        write_run(store.root, run.spec, run.label, frame)
    own = [run for run in planned.runs if run.label == "adu"]
    write_row(tmp_path / "rows", "toy", own, [store.load(run.spec.key) for run in own], {})
    board = committed_board(tmp_path / "rows", "toy", Catalogue())
    assert board.warning
    assert {field.name: field.value for field in board.rows[0].changed} == {
        "epochs": 16, "crop": 0.5, "lr": 0.013, "gamma": 1.5,
    }  # fmt: skip
