"""The walk-through of docs/audits.md shows what its command prints: the committed rows are of the same runs."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from adu_bench.audits.catalogue import find_audits
from adu_bench.leaderboard.aspects import CORE_ATTACKS
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


def test_the_page_says_what_was_measured_of_the_oracles():
    section = (
        PAGE.read_text(encoding="utf-8").split("\n## A model that never saw the domain\n")[1].partition("\n## ")[0]
    )
    measured, oracles = read_measurements(rows_dir(), "emoji-mini"), read_oracle(rows_dir(), "emoji-mini")
    every = pd.concat([measured, oracles])
    means = every.groupby(["task", "audit", "metric", "method"])["value"].mean()
    tables = re.findall(r"^\| attack, forget `(\w+)` \|(.+)\n\|[-:|]+\n((?:\|.+\n)+)", section, re.MULTILINE)
    assert [task for task, *_ in tables] == ["openmoji", "line"]
    for task, head, body in tables:
        methods = re.findall(r"`([\w-]+)`", head)
        rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in body.splitlines()]
        assert len(rows) == 5
        for attack, *values in rows:
            shown = [f"{100 * means[task, attack, 'recovery', method]:.1f}" for method in methods]
            assert values == shown, (task, attack)
    answers = re.findall(r"^\| `(\w+)` \| `(\w+)` \|(.+)\|$", section, re.MULTILINE)
    names = {"forget": "forget_accuracy", "retain": "retain_accuracy"}
    assert len(answers) == 4
    for task, part, cells in answers:
        shown = [cell.strip() for cell in cells.split("|")]
        for method, value in zip(("zero-shot", ORACLE, "oracle-artist"), shown, strict=True):
            found = means.get((task, "part-off", names[part], method))
            assert value == ("" if found is None else f"{100 * found:.1f}"), (task, part, method)
    words = " ".join(section.split())
    for method, place, attack, sentence in (
        (ORACLE, "openmoji", "class-probe/last_block_recovery", "at most {} points (the class token after"),
        (
            "oracle-artist",
            "line",
            "rounding/recovery_all_4",
            "at most {} points away (`line`, all weights rounded to 4",
        ),
    ):
        least = min(
            (means[task, *other.split("/"), method], task, other)
            for task in ("openmoji", "line")
            for other in CORE_ATTACKS
            if (task, *other.split("/"), method) in means.index
        )
        assert least[1:] == (place, attack)
        assert sentence.format(f"{100 * (1 - least[0]):.1f}") in words


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
