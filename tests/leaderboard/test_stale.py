"""Committed rows that the current code would not compute: they are named, and their boards say so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from adu_bench.cli import main
from adu_bench.core.specs import RunSpec
from adu_bench.leaderboard.committed import committed_board, committed_stale_rows
from adu_bench.leaderboard.rows import write_row
from adu_bench.leaderboard.stale import NOTE
from adu_bench.registry import Catalogue
from adu_bench.report.pages import write_pages
from adu_bench.report.tables.board import FORMATS
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite
from tests.conftest import random_predictions, write_run

METHODS = ["collapse", "coin", "baseline"]


@pytest.fixture
def rows(tmp_path) -> Path:
    """Current rows of three methods on the toy suite."""
    suite, store = load_suite("toy"), Store(tmp_path / "runs")
    for number, label in enumerate(METHODS):
        wanted = plan(suite, Catalogue().select([label]))
        for run in wanted.runs:
            frame = random_predictions(number, forget=run.spec.task.forget, classes=6)
            write_run(tmp_path / "runs", run.spec, run.label, frame)
        write_row(tmp_path / "rows", "toy", wanted.runs, [store.load(run.spec.key) for run in wanted.runs], {})
    return tmp_path / "rows"


def change(rows: Path, label: str, part: str, **values) -> None:
    """Give a row another spec, as if it had been computed by another version."""
    path = rows / "toy" / f"{label}.json"
    record = json.loads(path.read_text())
    record["common"][part].update(values)
    for run in record["runs"]:
        task = record["common"]["task"] | {"forget": run["forget"]}
        run["key"] = RunSpec.from_dict(record["common"] | {"seed": run["seed"], "task": task}).key
    path.write_text(json.dumps(record))


def test_current_rows_are_not_stale(rows):
    assert committed_stale_rows(rows, "toy", Catalogue()) == {}
    assert committed_board(rows, "toy", Catalogue()).warning == ""


@pytest.mark.parametrize(
    ("part", "values", "reason"),
    [
        ("method", {"source_hash": "0" * 20}, "an earlier version of the method's file"),
        ("method", {"shared_hash": "0" * 20}, "an earlier version of shared training code"),
        ("method", {"fields": [["extra", 1]]}, "other hyper-parameters"),
        ("training", {"batch": 999}, "other training batches or precision"),
        ("task", {"data_hash": "0" * 20}, "other images"),
        ("backbone", {"weights_hash": "0" * 20}, "other weights"),
    ],
)
def test_a_stale_row_is_found_with_what_differs(rows, part, values, reason):
    change(rows, "coin", part, **values)
    assert committed_stale_rows(rows, "toy", Catalogue()) == {"coin": reason}


def test_a_row_with_missing_runs_or_an_unknown_method_is_stale(rows):
    path = rows / "toy" / "coin.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"runs": record["runs"][1:]}))
    other = json.loads((rows / "toy" / "collapse.json").read_text())
    (rows / "toy" / "gone.json").write_text(json.dumps(other | {"label": "gone"}))
    shutil.copy(rows / "toy" / "collapse.parquet", rows / "toy" / "gone.parquet")
    found = committed_stale_rows(rows, "toy", Catalogue())
    assert found["coin"] == f"1 of {len(record['runs'])} runs missing"
    assert "no method called 'gone'" in found["gone"]


def check(rows: Path, *more: str) -> int:
    return main(["leaderboard", "--check", "--rows", str(rows), *more])


def test_check_fails_on_a_stale_row_unless_it_is_allowed_and_on_pages_always(rows, capsys):
    write_pages(rows, Catalogue())
    assert check(rows) == 0
    for label in METHODS:
        change(rows, label, "method", shared_hash="0" * 20)
    write_pages(rows, Catalogue())
    capsys.readouterr()
    assert check(rows) == 1
    printed = capsys.readouterr()
    assert "generated files" in printed.out
    (line,) = printed.err.splitlines()
    assert line.startswith("toy: stale rows (an earlier version of shared training code): baseline, coin, collapse")
    assert check(rows, "--allow-stale-rows") == 0
    assert capsys.readouterr().err == printed.err
    (rows / "toy" / "board.csv").write_text("changed")
    assert check(rows, "--allow-stale-rows") == 1
    assert "board.csv is not current" in capsys.readouterr().err


def test_where_all_rows_are_stale_they_are_ranked_among_themselves_with_a_warning(rows, capsys):
    before = committed_board(rows, "toy", Catalogue())
    for label in METHODS:
        change(rows, label, "method", shared_hash="0" * 20)
    board = committed_board(rows, "toy", Catalogue())
    assert board.warning == NOTE
    assert [(row.method, row.rank, row["h_mean"]) for row in board.rows] == [
        (row.method, row.rank, row["h_mean"]) for row in before.rows
    ]
    for path in write_pages(rows, Catalogue()):
        if path.name in ("index.html", "board.tex") or path == rows / "toy" / "README.md":
            assert NOTE.rstrip(".") in path.read_text().replace("\\-", "-"), path
    assert main(["leaderboard", "--rows", str(rows), "--suite", "toy"]) == 0
    assert NOTE in " ".join(capsys.readouterr().out.split())
    for kind in FORMATS:
        assert "baseline" in FORMATS[kind](board)


def test_a_stale_row_among_current_ones_is_shown_unranked_with_the_reason(rows):
    change(rows, "baseline", "method", source_hash="0" * 20)
    board = committed_board(rows, "toy", Catalogue())
    assert board.warning == ""
    row = next(row for row in board.rows if row.method == "baseline")
    assert (row.rank, row["h_mean"]) == (None, None)
    assert "an earlier version of the method's file" in row.reason


def test_stale_rows_of_different_protocols_are_not_ranked_together(rows):
    for label in METHODS:
        change(rows, label, "training", batch=900 + len(label))
    board = committed_board(rows, "toy", Catalogue())
    assert board.warning == ""
    assert not any(row.rank for row in board.rows)
