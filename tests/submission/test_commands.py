"""The commands submit and verify, and the rows that they write."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adu_bench.cli import main
from adu_bench.core.errors import UserError
from adu_bench.core.hashing import file_sha256
from adu_bench.rerun.sandbox import FOLDER, isolation
from adu_bench.submission.verify import Rerun
from tests.conftest import forge_run, hear_ctrl_c
from tests.submission.conftest import METHOD, Here


def refusal(capsys, *arguments: str) -> str:
    """Check that the command exits with 2 and prints three lines; return the first."""
    capsys.readouterr()
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3
    return lines[0]


@pytest.fixture
def mine(block, tmp_path, monkeypatch) -> Path:
    """A folder with the method, its runs and its bundle, in which the commands run."""
    shutil.copytree(block, tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture(scope="module")
def rows(block, tmp_path_factory) -> Path:
    """A leaderboards folder with the row that verify wrote."""
    folder = tmp_path_factory.mktemp("rows")
    assert main(["verify", str(block / "b.zip"), "--write", str(folder)]) == 0
    return folder


@pytest.fixture
def row(mine, rows) -> Path:
    """A copy of that row, beside the method's file."""
    shutil.copytree(rows, mine / "rows")
    return mine / "rows" / "toy" / "blur.json"


def test_submit_says_what_it_claims_and_verify_agrees(mine, capsys):
    assert main(["submit", "blur", "--suite", "toy", "--from", "mine", "--out", "new.zip"]) == 0
    out = capsys.readouterr().out
    assert "4 runs, complete and consistent" in out
    assert (mine / "new.zip").read_bytes() == (mine / "b.zip").read_bytes()
    assert main(["verify", "new.zip"]) == 0
    out = capsys.readouterr().out
    assert out.count("0.00") >= 4
    assert "Verified" in out
    assert "--rerun N" in out


def test_a_bundle_is_made_without_the_backbones_weights(mine, monkeypatch):
    def missing(*arguments, **options):
        raise UserError("The weights are not on this machine.", "None.", "None.")

    monkeypatch.setattr("adu_bench.runner.plan.backbone_spec", missing)
    monkeypatch.setattr("adu_bench.workflows.selection.backbone_spec", missing)
    assert main(["submit", "blur", "--suite", "toy", "--from", "mine", "--out", "new.zip"]) == 0
    assert (mine / "new.zip").read_bytes() == (mine / "b.zip").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["submit", "blur", "--suite", "toy", "--from", "mine", "--runs", "nowhere"], "on toy are not complete"),
        (["submit", "blur", "--suite", "toy", "--from", "mine", "--out", "b.tar"], "is not a zip file"),
        (["submit", "blur", "--suite", "toy", "--from", "mine", "--out", "mine/blur.py/b.zip"], "cannot be written"),
        (["submit", "all", "--suite", "toy"], "matches"),
        (["submit", "blurr", "--suite", "toy", "--from", "mine"], "no method called"),
        (["verify", "nowhere.zip"], "cannot be read"),
        (["verify", "nowhere.json"], "There is no row"),
        (["verify", "mine/blur.py"], "not a zip file"),
        (["verify", "b.zip", "--rerun", "-1"], "out of range"),
        (["verify", "b.zip", "--tolerance", "2"], "out of range"),
        (["verify", "b.zip", "--timeout", "0"], "out of range"),
        (["verify", "b.zip", "--rerun", "5"], "5 runs cannot be drawn"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_refused_in_three_sentences(mine, capsys, arguments, complaint):
    assert complaint in refusal(capsys, *arguments)
    assert not list(mine.glob("**/*.tmp"))


def test_impossible_predictions_are_not_even_submitted(mine, capsys):
    path = next((mine / "runs").glob("*/predictions.parquet"))
    frame = pq.read_table(path).to_pandas()
    frame["p_max"] = 0.01
    frame.to_parquet(path, index=False)
    forge_run(path.parent)
    complaint = refusal(capsys, "submit", "blur", "--suite", "toy", "--from", "mine", "--out", "new.zip")
    assert "p_max" in complaint
    assert not (mine / "new.zip").exists()


def test_a_verified_bundle_becomes_a_row_that_verifies_and_ranks(row, capsys):
    record = json.loads(row.read_text())
    assert record["claimed"] == {name: record["verified"][name] for name in record["claimed"]}
    assert record["reproduced"] is None
    capsys.readouterr()
    assert main(["verify", str(row), "--from", "mine"]) == 0
    assert "Verified" in capsys.readouterr().out
    assert main(["leaderboard", "--rows", "rows", "--suite", "toy", "--from", "mine", "--format", "csv"]) == 0
    (line,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert (line["method"], line["rank"], line["state"]) == ("blur", "1", "verified")
    assert float(line["claimed_h_mean"]) == pytest.approx(float(line["h_mean"]), abs=2e-6)
    assert main(["leaderboard", "--write", "rows", "--from", "mine"]) == 0
    assert main(["leaderboard", "--check", "--rows", "rows", "--from", "mine"]) == 0
    page = (row.parent / "README.md").read_text()
    assert "## Claimed and scored" in page
    assert "verified" in page
    (row.parent / "board.tex").write_text("stale")
    assert main(["leaderboard", "--check", "--rows", "rows", "--from", "mine"]) == 1
    assert "board.tex is not current" in capsys.readouterr().err


def test_a_row_says_claimed_until_somebody_verified_it(row, capsys):
    record = json.loads(row.read_text())
    row.write_text(json.dumps(record | {"verified": None}))
    capsys.readouterr()
    assert main(["leaderboard", "--rows", "rows", "--suite", "toy", "--from", "mine", "--format", "md"]) == 0
    assert "| claimed |" in capsys.readouterr().out
    assert main(["verify", str(row), "--from", "mine", "--write", "rows"]) == 0
    assert json.loads(row.read_text())["verified"]["h_mean"] == record["verified"]["h_mean"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r["claimed"].update(mem=0.99), "mem is claimed to be 0.99"),
        (lambda r: r["runs"][0].update(key="f" * 20), "does not follow from its spec"),
        (lambda r: r["runs"].pop(), "predictions; the test images"),
        (lambda r: r["runs"][0].update(seed=3), "does not follow from its spec"),
        (lambda r: r["common"]["task"].update(data_hash="f" * 20), "does not follow from its spec"),
        (lambda r: r["card"].update(title="x\u202e"), "malformed at 'card.title'"),
        (lambda r: r["runs"][0]["measured"].update(seconds="=cmd()"), "malformed at 'runs.0.measured.seconds'"),
        (lambda r: r["runs"][0]["measured"].update(domain_probe=7), "malformed"),
        (lambda r: r.update(label="other"), "contains the row of 'other'"),
        (lambda r: r.update(reproduced={"runs": []}), "malformed at 'reproduced'"),
        (lambda r: r.update(verified={"mem": 2}), "malformed at 'verified'"),
    ],
)
def test_a_row_that_was_tampered_with_is_refused(row, capsys, change, reason):
    record = json.loads(row.read_text())
    change(record)
    row.write_text(json.dumps(record))
    capsys.readouterr()
    assert main(["verify", str(row), "--from", "mine"]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.set_column(7, "p_max", pa.array([65535] * len(t), pa.uint16())), "image"),
        (lambda t: t.set_column(3, "label", t["predicted"]), "another label"),
        (lambda t: t.slice(1), "predictions; the test images"),
        (lambda t: t.set_column(0, "run", pa.array([0] * len(t), pa.uint16())), "a run without predictions"),
        (lambda t: t.set_column(0, "run", t["run"].cast(pa.int64())), "in the column run"),
        (lambda t: t.append_column("more", t["run"]), "has the columns"),
    ],
)
def test_predictions_of_a_row_that_were_tampered_with_are_refused(row, capsys, change, reason):
    path = row.with_suffix(".parquet")
    table = pq.read_table(path)
    assert table.column_names[3] == "label"
    assert table.column_names[7] == "p_max"
    pq.write_table(change(table), path)
    row.write_text(json.dumps(json.loads(row.read_text()) | {"predictions": file_sha256(path)}))
    capsys.readouterr()
    assert main(["verify", str(row), "--from", "mine"]) == 2
    assert reason in capsys.readouterr().err


def test_predictions_of_another_row_are_refused(row, capsys):
    """Well-formed predictions of the same images, which give other numbers."""
    path, board = row.with_suffix(".parquet"), ("leaderboard", "--rows", "rows", "--suite", "toy", "--from", "mine")
    table = pq.read_table(path)
    order = np.arange(len(table))[::-1]
    pq.write_table(table.set_column(4, "predicted", pa.array(table["predicted"].to_numpy()[order])), path)
    assert main(board) == 2
    assert "names predictions with another hash" in capsys.readouterr().err
    assert "is not the file that" in refusal(capsys, "verify", str(row), "--from", "mine")


def test_a_board_of_damaged_rows_alone_is_refused(row, capsys):
    board, table = ("leaderboard", "--rows", "rows", "--suite", "toy", "--from", "mine"), row.with_suffix(".parquet")
    table.write_bytes(table.read_bytes()[:100])
    assert main(board) == 2
    assert "Its row is damaged" in capsys.readouterr().err
    table.unlink()
    assert "No row of 'toy' in 'rows' can be shown" in refusal(capsys, *board)
    row.write_text("[" * 100_000)
    assert "No row of 'toy' in 'rows' can be shown" in refusal(capsys, *board)


def test_absent_measures_leave_empty_cells_that_say_why(row, capsys):
    record = json.loads(row.read_text())
    for run in record["runs"]:
        run["measured"] = {"domain_probe": None, "seconds": None}
    row.write_text(json.dumps(record))
    for kind in ("md", "csv", "json", "tex", "html"):
        capsys.readouterr()
        assert main(["leaderboard", "--rows", "rows", "--suite", "toy", "--from", "mine", "--format", kind]) == 0
        out = capsys.readouterr().out
        assert "blur" in out
        if kind == "csv":
            (line,) = csv.DictReader(out.splitlines())
            assert line["domain_probe"] == ""
            assert "probe: no features were stored" in line["empty"]
            assert "forgot: no zero-shot run to compare with" in line["empty"]
        if kind in ("md", "tex"):
            assert re.search(r"\([a-z]\) no zero-shot run to compare with", out)
            assert re.search(r"\([a-z]\) no features were stored", out)


@pytest.mark.parametrize("claimed", [{"mem": float("nan"), "for": "=1", "h_mean": None}, [1], "<b>", 3])
def test_claims_that_are_not_numbers_are_ignored(row, capsys, claimed):
    row.write_text(json.dumps(json.loads(row.read_text()) | {"claimed": claimed}))
    for kind in ("md", "csv", "html"):
        capsys.readouterr()
        assert main(["leaderboard", "--rows", "rows", "--suite", "toy", "--from", "mine", "--format", kind]) == 0
        out = capsys.readouterr().out
        assert kind == "html" or not re.search(r"=1|\bnan\b", out, re.IGNORECASE)
    assert main(["verify", str(row), "--from", "mine"]) == 2


def test_a_board_needs_neither_images_nor_weights_and_still_refuses_other_weights(row, capsys, monkeypatch):
    """Public suites' images are not on every machine; most rows say which images and weights were used."""
    from adu_bench.core.specs import RunSpec

    def absent(name):
        raise UserError("There are no weights.", "None.", "None.")

    record = json.loads(row.read_text())
    record["label"] = "blur[lr=0.2]"
    record["common"]["backbone"]["weights_hash"] = "f" * 20
    record["common"]["method"]["fields"] = [["lr", 0.2]]
    for run in record["runs"][:]:
        task = record["common"]["task"] | {"forget": run["forget"]}
        run["key"] = RunSpec.from_dict(record["common"] | {"seed": run["seed"], "task": task}).key
    record["runs"] = record["runs"][:2]
    (row.parent / "blur[lr=0.2].json").write_text(json.dumps(record))
    shutil.copy(row.with_suffix(".parquet"), row.parent / "blur[lr=0.2].parquet")
    monkeypatch.setattr("adu_bench.runner.plan.backbone_spec", absent)
    capsys.readouterr()
    assert main(["leaderboard", "--rows", "rows", "--suite", "toy", "--from", "mine", "--format", "json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["method"], first["rank"]) == ("blur", 1)
    assert (second["method"], second["rank"]) == ("blur[lr=0.2]", None)
    assert "other weights" in second["reason"]


def test_one_bad_file_among_several_is_named_and_ends_with_two(mine, capsys):
    (mine / "c.zip").write_bytes(b"rubbish")
    assert "not a zip file" in refusal(capsys, "verify", "b.zip", "c.zip")


def test_a_rerun_is_announced_and_detects_invented_predictions(mine, capsys):
    """The bundle's predictions are random and agree with its claims; only a rerun detects it."""
    assert main(["verify", "b.zip", "--rerun", "1", "--seed", "7", "--device", "cpu", "--write", "rows"]) == 1
    done = capsys.readouterr()
    announced, _, after = done.out.partition("1 run drawn by seed 7")
    assert "method.py now" in announced
    assert "Mem" in after
    assert "Not reproduced" in done.err
    assert not (mine / "rows").exists()


def test_only_a_row_that_was_run_again_is_reproduced(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "blur.py").write_text(METHOD)
    assert main(["run", "--suite", "toy", "--methods", "blur", "--from", "mine", "--device", "cpu"]) == 0
    assert main(["submit", "blur", "--suite", "toy", "--from", "mine", "--out", "b.zip"]) == 0
    monkeypatch.setattr("adu_bench.runner.executors.local.LocalProcesses", Here)
    assert main(["verify", "b.zip", "--rerun", "1", "--seed", "3", "--device", "cpu", "--write", "rows"]) == 0
    out = capsys.readouterr().out
    assert "Reproduced: 1 of 4 runs" in out
    assert "unzip -p b.zip method.py > methods/blur.py" in out
    record = json.loads((tmp_path / "rows" / "toy" / "blur.json").read_text())
    assert record["reproduced"]["same_answers"] == 1.0
    assert record["reproduced"]["largest_difference"] == 0.0
    assert record["reproduced"]["isolation"] == isolation()
    assert not record["reproduced"]["own_parts"]
    assert (len(record["reproduced"]["runs"]), record["reproduced"]["seed"]) == (1, 3)
    assert main(["verify", "rows/toy/blur.json", "--from", "mine"]) == 0
    capsys.readouterr()
    assert main(["leaderboard", "--rows", "rows", "--suite", "toy", "--from", "mine", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "reproduced"


def test_a_row_says_that_the_methods_code_predicted(mine, monkeypatch, capsys):
    same = {"mem": 0.5, "for": 0.5, "h": 0.5}
    monkeypatch.setattr(
        "adu_bench.workflows.verify.rerun", lambda _, runs, *rest: [Rerun(runs[0], same, same, 1.0, FOLDER, ("Own",))]
    )
    assert main(["verify", "b.zip", "--rerun", "1", "--write", "rows"]) == 0
    out = capsys.readouterr().out
    assert "Reproduced, with parts of its own: 1 of 4 runs" in out
    assert "it defines Own" in out
    assert "Isolation: folder" in out
    assert main(["verify", "rows/toy/blur.json", "--from", "mine"]) == 0
    capsys.readouterr()
    assert main(["leaderboard", "--rows", "rows", "--suite", "toy", "--from", "mine", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "reproduced, with parts of its own"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_nothing_stays_unpacked_after_an_interruption(mine, ending):
    """`timeout` sends SIGTERM, which ends Python without cleaning up unless it is handled."""
    (mine / "temporary").mkdir()
    verify = subprocess.Popen(
        [sys.executable, "-m", "adu_bench", "verify", "b.zip", "--rerun", "4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(mine / "temporary")},
        preexec_fn=hear_ctrl_c,
    )
    while not list((mine / "temporary").glob("adu-bench-rerun-*/*/capsule/job.json")):
        assert verify.poll() is None
        time.sleep(0.05)
    assert list((mine / "temporary").glob("adu-bench-verify-*/0/method.py"))
    verify.send_signal(ending)
    _, errors = verify.communicate(timeout=60)
    assert verify.returncode == (130 if ending == signal.SIGINT else 128 + ending)
    assert "Traceback" not in errors
    assert not list((mine / "temporary").glob("adu-bench-*"))


def test_a_refused_bundle_does_not_stay_unpacked(mine, bundle, monkeypatch, capsys):
    (mine / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(mine / "temporary"))
    bundle.files.pop(bundle.predictions)
    refusal(capsys, "verify", str(bundle.pack(mine / "bad.zip")))
    assert not list((mine / "temporary").iterdir())


def test_a_bundle_contains_only_files_that_are_safe_to_read(block):
    with zipfile.ZipFile(block / "b.zip") as zipped:
        names = {name.rpartition("/")[2] for name in zipped.namelist()}
    assert names == {"submission.json", "method.py", "run.json", "predictions.parquet"}
