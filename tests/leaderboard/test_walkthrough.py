"""The walk-through of docs/audits.md shows what its command prints: the committed rows are of the same runs."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from adu_bench.audits.catalogue import find_audits
from adu_bench.leaderboard.committed import committed_board
from adu_bench.leaderboard.measurements import ORACLE, read_measurements, read_oracle
from adu_bench.leaderboard.rows import rows_dir
from adu_bench.registry import Catalogue

PAGE = Path(__file__).parents[2] / "docs" / "audits.md"
STUDY = PAGE.parents[1] / "reports" / "studies" / "open-vocabulary.csv"
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


def test_the_page_says_what_was_measured_of_the_oracle():
    section = (
        PAGE.read_text(encoding="utf-8").split("\n## A model that never saw the domain\n")[1].partition("\n## ")[0]
    )
    head, _, *rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    measured, oracle = read_measurements(rows_dir(), "emoji-mini"), read_oracle(rows_dir(), "emoji-mini")
    found = {ORACLE: oracle[oracle["method"] == ORACLE]}
    for method in head[2:]:
        found[method] = measured[(measured["method"] == method) & (measured["task"] == "openmoji")]
    assert len(rows) == 5
    for attack, *values in rows:
        for method, value in zip(head[1:], values, strict=True):
            own = found[method]
            mean = own[(own["audit"] == attack) & (own["metric"] == "recovery")]["value"].mean()
            assert value == f"{100 * mean:.1f}", (attack, method)
    accuracies = re.findall(r"[\d.]+(?= %)", section.partition("answers ")[2].partition("CLIP generalises")[0])
    of = {"oracle": found[ORACLE], "zero-shot": measured[measured["method"] == "zero-shot"]}
    expected = [
        f"{100 * own[(own['metric'] == metric) & (own['task'] == 'openmoji')]['value'].mean():.1f}"
        for metric in ("forget_accuracy", "retain_accuracy")
        for own in (one[one["audit"] == "part-off"] for one in of.values())
    ]
    assert accuracies == expected


def test_the_table_of_held_out_classes_says_what_was_measured():
    section = PAGE.read_text(encoding="utf-8").split("\n## Held-out classes\n")[1].partition("\n## ")[0]
    _, _, *rows = [
        [cell.strip(" `") for cell in line[1:-1].split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    measured = pd.read_csv(STUDY).groupby(["method", "metric"])["value"].mean()
    metrics = ["forget_accuracy", "retain_accuracy", "suppression", "suppression_seen", "retain_loss"]
    metrics += ["retain_loss_seen", "transfer"]
    assert {row[0] for row in rows} == set(measured.index.get_level_values("method"))
    for method, answers, *values in rows:
        assert answers == ("yes" if measured[method, "answers"] else "no")
        for metric, shown in zip(metrics, values, strict=True):
            value = measured.get((method, metric))
            scale, digits = (1, 2) if metric == "transfer" else (100, 1)
            assert shown == ("" if value is None else f"{scale * value:.{digits}f}"), (method, metric)
