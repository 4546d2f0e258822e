"""The walk-through of docs/audits.md shows what its command prints: the committed rows are of the same runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adu_bench.audits.catalogue import find_audits
from adu_bench.leaderboard.committed import committed_board
from adu_bench.leaderboard.measurements import read_measurements
from adu_bench.leaderboard.rows import rows_dir
from adu_bench.registry import Catalogue

PAGE = Path(__file__).parents[2] / "docs" / "audits.md"
BLOCK = re.compile(r"^([\w-]+): (.+)\n method +(.+)\n((?: .+\n)+)", re.MULTILINE)


@pytest.fixture(scope="module")
def text():
    return PAGE.read_text(encoding="utf-8").split("\n## A walk-through\n")[1].partition("\n## ")[0]


@pytest.fixture(scope="module")
def runs(text):
    """The metrics of the command's runs, by method and metric, and the key of each run."""
    (names,) = re.findall(r"--limit 1 --seeds 1 \\\n +--methods (\S+)", text)
    board = committed_board(rows_dir(), "emoji-mini", Catalogue(), names.split(","))
    own = board.frame[(board.frame["task"] == board.tasks[0]) & (board.frame["seed"] == 1)]
    return own.pivot(index=["method", "key"], columns="metric", values="value").reset_index("key")


def test_the_tables_of_audits_are_those_of_the_committed_measurements(text, runs):
    measured = read_measurements(rows_dir(), "emoji-mini").set_index(["key", "audit", "metric"])["value"]
    blocks = BLOCK.findall(text)
    assert [name for name, *_ in blocks] == ["part-off", "class-probe", "relearning", "prototypes"]
    for audit, question, head, rows in blocks:
        card = find_audits()[audit].card
        assert question == card.question
        metrics = {metric.column: metric for metric in card.metrics if metric.column}
        columns = re.split(r" {2,}", head.strip())
        assert columns == list(metrics)
        for row in rows.splitlines():
            method, *values = row.split()
            for column, shown in zip(columns, values, strict=True):
                value = measured[runs.loc[method, "key"], audit, metrics[column].name]
                assert shown == ("yes" if metrics[column].unit == "yes or no" else f"{100 * value:.1f}"), (
                    audit,
                    column,
                )


def test_the_board_is_that_of_the_committed_runs(text, runs):
    known = 1 - runs.loc["zero-shot", "for"]
    for method in runs.index:
        (line,) = re.findall(rf"^ \S+ +{method} +(.+)$", text, re.MULTILINE)
        own = runs.loc[method]
        forgot = (own["for"] - (1 - known)) / (known - 1 / 15)
        shown = own["mem"], own["for"], own["h"], own["h"], forgot
        assert line.split()[:5] == [f"{100 * value:.1f}" for value in shown]
