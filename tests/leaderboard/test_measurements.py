"""Committed measurements: written from runs, merged, checked; boards and pages follow from the files alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from adu_bench.audits.audit import Measure
from adu_bench.audits.catalogue import find_audits
from adu_bench.audits.results import write_result
from adu_bench.cli import main
from adu_bench.core.errors import UserError
from adu_bench.leaderboard.committed import committed_board, committed_stale_measurements
from adu_bench.leaderboard.measurements import (
    COLUMNS,
    merge,
    read_measurements,
    read_oracle,
    stale_measurements,
    write_measurements,
    write_oracle,
)
from adu_bench.leaderboard.rows import read_rows, write_row
from adu_bench.registry import Catalogue
from adu_bench.report.pages import write_pages
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite
from adu_bench.workflows.rows import write_audits
from tests.conftest import random_predictions, write_run

METHODS = ["zero-shot", "collapse", "baseline"]
KNOWN = find_audits()


def one(**values) -> pd.DataFrame:
    row = {
        "key": "k1", "method": "m", "task": "a", "seed": 1, "audit": "prototypes", "metric": "recovery",
        "value": 0.1, "n": 10, "code": KNOWN["prototypes"].code,
    }  # fmt: skip
    return pd.DataFrame([row | values], columns=list(COLUMNS))


def test_measurements_come_back_as_they_were(tmp_path):
    made = pd.concat([one(value=1 / 3), one(key="k2", metric="x:ü,\n", value=-2.5)], ignore_index=True)
    write_measurements(tmp_path, "toy", made)
    found = read_measurements(tmp_path, "toy")
    assert found.to_dict("records") == made.to_dict("records")
    assert list(found.columns) == list(COLUMNS)


def test_the_same_measurements_give_the_same_bytes(tmp_path):
    first = write_measurements(tmp_path, "toy", one()).read_bytes()
    again = write_measurements(tmp_path, "other", read_measurements(tmp_path, "toy")).read_bytes()
    assert first == again


def test_without_measurements_there_is_no_file(tmp_path):
    path = write_measurements(tmp_path, "toy", one())
    write_measurements(tmp_path, "toy", one().iloc[:0])
    assert not path.exists()
    assert read_measurements(tmp_path, "toy").empty
    assert read_oracle(tmp_path, "toy").empty


def test_a_damaged_file_is_named(tmp_path):
    path = write_measurements(tmp_path, "toy", one())
    path.write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"measurements\.parquet' are damaged"):
        read_measurements(tmp_path, "toy")
    (path.parent / "oracle.csv").write_text("method,task\na,b\n")
    with pytest.raises(UserError, match=r"oracle\.csv' are damaged"):
        read_oracle(tmp_path, "toy")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"value": float("inf")}, "not finite"),
        ({"value": float("nan")}, "not finite"),
        ({"value": 1e308}, "not finite"),
        ({"n": -1}, "below zero"),
        ({}, "there twice"),
    ],
)
def test_measurements_that_no_audit_can_make_are_refused(tmp_path, values, reason):
    found = pd.concat([one(), one(**values)], ignore_index=True)
    write_measurements(tmp_path, "toy", found)
    write_oracle(tmp_path, "toy", found.drop(columns="key"))
    with pytest.raises(UserError, match="are damaged") as refused:
        read_measurements(tmp_path, "toy")
    assert reason in refused.value.why
    with pytest.raises(UserError, match="are damaged"):
        read_oracle(tmp_path, "toy")


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = write_measurements(tmp_path, "toy", one())
    table = pq.read_table(path)
    for name in COLUMNS:
        pq.write_table(table.append_column(name, table[name]), path)
        with pytest.raises(UserError, match="are damaged"):
            read_measurements(tmp_path, "toy")


def test_an_oracles_file_has_the_same_columns_but_the_key(tmp_path):
    made = one(method="oracle", task="NA", value=1 / 3).drop(columns="key")
    write_oracle(tmp_path, "toy", made)
    assert read_oracle(tmp_path, "toy").to_dict("records") == made.to_dict("records")


def test_a_new_measurement_replaces_the_old_one_of_its_run_and_audit():
    old = pd.concat([one(), one(metric="forget_accuracy"), one(key="k2", value=0.2)])
    found = merge(old, one(value=0.7), ["k2", "k1"], KNOWN)
    assert found[["key", "metric", "value"]].to_numpy().tolist() == [["k2", "recovery", 0.2], ["k1", "recovery", 0.7]]


def test_merging_leaves_out_what_is_stale():
    old = pd.concat([one(key="gone"), one(code="old"), one(key="k2", audit="gone"), one(key="k2", value=0.3)])
    found = merge(old, one().iloc[:0], ["k1", "k2"], KNOWN)
    assert found[["key", "value"]].to_numpy().tolist() == [["k2", 0.3]]


def test_what_is_stale_is_named_with_its_reason():
    found = pd.concat([
        one(), one(key="k9", method="moved"), one(audit="gone"), one(audit="class-probe", code="old"),
    ])  # fmt: skip
    assert stale_measurements(found, {"k1"}, KNOWN) == {
        "moved": "measured on other runs than those of its row",
        "gone": "there is no such audit",
        "class-probe": "the audit's code was changed since",
    }
    assert stale_measurements(one(), {"k1"}, KNOWN) == {}
    assert stale_measurements(one(code="old").drop(columns="key"), (), KNOWN) == {
        "prototypes": "the audit's code was changed since"
    }


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Current rows of three methods on the toy suite, and the audited runs that they consist of."""
    suite, store = load_suite("toy"), Store(tmp_path / "runs")
    for number, label in enumerate(METHODS):
        wanted = plan(suite, Catalogue().select([label]))
        for run in wanted.runs:
            frame = random_predictions(number, forget=run.spec.task.forget, classes=6)
            write_run(tmp_path / "runs", run.spec, run.label, frame)
            for audit in ("prototypes", "part-off"):
                recovery = Measure("recovery", 0.25 * number + 0.01 * run.spec.seed, 10)
                fixed = [Measure("by_construction", 1.0, 0)] if audit == "part-off" else []
                write_result(tmp_path / "runs", run.spec.key, KNOWN[audit], [recovery, *fixed], 0.1)
        write_row(tmp_path / "rows", "toy", wanted.runs, [store.load(run.spec.key) for run in wanted.runs], {})
    return tmp_path / "rows", tmp_path / "runs"


def write(rows: Path, runs: Path) -> Path | None:
    return write_audits("toy", runs, rows)


def test_measurements_are_those_of_the_rows_runs(folders):
    rows, runs = folders
    stranger = plan(load_suite("toy"), Catalogue().select(["coin"])).runs[0]
    write_result(runs, stranger.spec.key, KNOWN["prototypes"], [Measure("recovery", 0.9, 10)], 0.1)
    assert write(rows, runs) == rows / "toy" / "audits" / "measurements.parquet"
    found = read_measurements(rows, "toy")
    committed = read_rows(rows, "toy")
    assert set(found["key"]) == {run.key for run in committed}
    assert len(found) == 3 * len(committed)
    assert set(found["code"]) == {KNOWN["prototypes"].code, KNOWN["part-off"].code}
    before = (rows / "toy" / "audits" / "measurements.parquet").read_bytes()
    write(rows, runs)
    assert (rows / "toy" / "audits" / "measurements.parquet").read_bytes() == before


def test_rows_without_audits_get_no_file(folders, tmp_path):
    rows, _ = folders
    (tmp_path / "empty").mkdir()
    assert write(rows, tmp_path / "empty") is None
    assert not (rows / "toy" / "audits").exists()


def test_boards_and_pages_need_no_runs(folders):
    rows, runs = folders
    write(rows, runs)
    runs.rename(runs.with_name("away"))
    board = committed_board(rows, "toy", Catalogue())
    depth = board.forgetting.of("baseline", "depth")
    seeds = sorted({run.spec.seed for run in read_rows(rows, "toy")})
    assert depth.estimate.value == pytest.approx(1 - (0.5 + 0.01 * np.mean(seeds)))
    write_pages(rows, Catalogue())
    page = (rows / "toy" / "README.md").read_text()
    assert "## Did it forget?" in page
    assert "AUC, collapse" in page
    assert "by construction" in (rows / "toy" / "forgetting.tex").read_text()


def test_the_check_names_stale_measurements(folders, capsys, monkeypatch):
    rows, runs = folders
    write(rows, runs)
    write_pages(rows, Catalogue())
    assert main(["leaderboard", "--check", "--rows", str(rows)]) == 0
    found = read_measurements(rows, "toy")
    found.loc[found["audit"] == "prototypes", "code"] = "0" * 20
    other = found["method"] == "collapse"
    found.loc[other, "key"] = "x" + found.loc[other, "key"].str[1:]
    write_measurements(rows, "toy", found)
    assert committed_stale_measurements(rows, "toy") == {
        "prototypes": "the audit's code was changed since",
        "collapse": "measured on other runs than those of its row",
    }
    write_pages(rows, Catalogue())
    capsys.readouterr()
    assert main(["leaderboard", "--check", "--rows", str(rows)]) == 1
    said = capsys.readouterr().err
    assert "toy: stale measurements (the audit's code was changed since): prototypes" in said
    assert "toy: stale measurements (measured on other runs than those of its row): collapse" in said
    assert main(["leaderboard", "--check", "--rows", str(rows), "--allow-stale-rows"]) == 0


def test_pages_are_stale_when_measurements_changed(folders, capsys):
    rows, runs = folders
    write_pages(rows, Catalogue())
    write(rows, runs)
    assert main(["leaderboard", "--check", "--rows", str(rows), "--allow-stale-rows"]) == 1
    assert "README.md is not current" in capsys.readouterr().err
