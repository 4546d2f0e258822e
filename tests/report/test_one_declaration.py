"""A metric that is declared once is computed, averaged, and found in every format."""

from __future__ import annotations

import csv
import io
import json

import pytest
from rich.console import Console

from adu_bench.leaderboard.board import make_board
from adu_bench.metrics.evidence import Evidence, Value
from adu_bench.metrics.measures import METRICS
from adu_bench.metrics.metric import ALWAYS, DOWN, IF_ANY, INTERVAL, NEVER, Metric
from adu_bench.report.tables.board import FORMATS
from adu_bench.report.terminal.boards import print_board
from adu_bench.report.web.page import web_page
from adu_bench.store import Store
from tests.leaderboard.test_board import made_up_plan
from tests.report.conftest import blocks


def found(run: Evidence) -> Value | None:
    if run.measured.get("seconds") != 1.5:
        return None
    return (0.25 if len(run.of_domains(gone=True)) == 1 else 0.5), 7


def declared(column: str) -> Metric:
    """An audit that finds something in the runs of adu alone, as a share that depends on what is forgotten."""
    return Metric(
        "relearning",
        "relearning",
        "accuracy <after> relearning",
        found,
        direction=DOWN,
        family="audit",
        column=column,
        priority=1,
    )


@pytest.fixture
def board(root, monkeypatch):
    monkeypatch.setitem(METRICS, "relearning", declared(ALWAYS))
    return make_board(made_up_plan(*blocks()), Store(root).runs())


def test_a_new_metric_is_averaged_over_tasks(board):
    (row,) = (row for row in board.rows if row.method == "adu")
    # Three tasks forget one domain, two tasks forget two.
    assert row["relearning"] == pytest.approx((3 * 0.25 + 2 * 0.5) / 5)
    assert set(board.frame.query("metric == 'relearning'")["n"]) == {7}


def test_a_new_metric_is_in_every_format(board):
    for kind in ("md", "tex"):
        text = FORMATS[kind](board)
        assert "relearning" in text
        assert "35.0" in text
    assert [row["relearning"] for row in json.loads(FORMATS["json"](board)) if row["method"] == "adu"] == [0.35]
    rows = csv.DictReader(io.StringIO(FORMATS["csv"](board)))
    assert [row["relearning"] for row in rows if row["method"] == "adu"] == ["0.35"]
    page = web_page([board], {})
    assert ">relearning<" in page
    assert "Accuracy &lt;after&gt; relearning." in page
    assert 'data-first="ascending">relearning' in page
    for width in (80, 140):
        console = Console(width=width, file=io.StringIO())
        print_board(board, console)
        assert "35.0" in console.file.getvalue()


def test_a_column_for_a_metric_without_any_value_is_left_out(root, monkeypatch):
    plan, runs = made_up_plan(*blocks()), Store(root).runs()
    monkeypatch.setitem(METRICS, "relearning", declared(IF_ANY))
    assert "| relearning |" in FORMATS["md"](make_board(plan, runs))
    nothing = Metric("nothing", "nothing", "nothing", lambda run: None, column=IF_ANY)
    monkeypatch.setitem(METRICS, "nothing", nothing)
    assert "| nothing |" not in FORMATS["md"](make_board(plan, runs))


def test_every_metric_is_declared_whole():
    for key, metric in METRICS.items():
        assert metric.key == key
        assert metric.of_run is not None or metric.column != NEVER
        assert metric.title
        assert metric.explanation
        assert not metric.explanation.endswith(".")
        assert metric.text(None) == ""
        assert metric.unit == INTERVAL or metric.record(None) == {key: None}
