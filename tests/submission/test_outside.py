"""Predictions from outside: a claimed row that can be scored again and never reproduced; gaps are named."""

import gzip
import io
import json
import os
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adu_bench as ab
from adu_bench.cli.main import main
from adu_bench.core.errors import UserError
from adu_bench.data.sources import open_source
from adu_bench.suites import load_suite

SUITE = load_suite("toy")
CARD = {"title": "Trained elsewhere", "authors": "A. Stranger", "year": 2026}


@pytest.fixture(scope="module")
def table():
    """Every image of the suite's block, with probabilities that favour the right class on retain domains."""
    index = open_source("toy").index
    test = index[index["pool"] == "test"]
    rng = np.random.default_rng(0)
    parts = []
    for task in SUITE.tasks():
        logits = rng.normal(size=(len(test), len(SUITE.classes)))
        right = pd.Categorical(test["label"], categories=SUITE.classes).codes
        logits[np.arange(len(test)), right] += np.where(test["domain"].isin(task.forget), 0.0, 3.0)
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        parts.append(pd.DataFrame(p, columns=list(SUITE.classes)).assign(image=test["image"].to_list(), task=task.name))
    return pd.concat(parts, ignore_index=True)


def bring(table, folder, **changes):
    return ab.bring(table, "toy", **{"method": "elsewhere", "card": CARD, "out": folder, **changes})


def test_a_strangers_file_lands_on_the_board_as_claimed_and_is_scored_again(table, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table.to_csv("all.csv", index=False)
    (tmp_path / "card.yaml").write_text("title: Trained elsewhere\nauthors: A. Stranger\nyear: 2026\n")
    row = "leaderboards/toy/elsewhere.json"
    arguments = ["--suite", "toy", "--method", "elsewhere", "--card", "card.yaml"]
    assert main(["bring", "all.csv", *arguments]) == 0
    assert f"Wrote {row}" in capsys.readouterr().out
    board = ["leaderboard", "--suite", "toy", "--rows", "leaderboards", "--format"]
    assert main([*board, "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    claimed = json.loads((tmp_path / row).read_text())["claimed"]
    assert found["state"] == "outside: claimed"
    assert found["rank"] == 1
    assert found["mem"] == pytest.approx(claimed["mem"], abs=1e-6)
    assert main([*board, "html"]) == 0
    assert "outside: claimed" in capsys.readouterr().out

    assert main(["verify", row, "--rerun", "1"]) == 2
    assert "cannot be run again" in capsys.readouterr().err
    assert main(["verify", row, "--write", "leaderboards"]) == 0
    assert "nobody can run the method again" in capsys.readouterr().out
    assert main([*board, "md"]) == 0
    page = capsys.readouterr().out
    assert "| outside: re-scored |" in page
    assert "nobody here can make again" in page


def test_one_file_each_parquet_paths_and_hashes_mean_the_same(table, tmp_path):
    _, whole = bring(table, tmp_path / "whole")
    hashes = open_source("toy").index.set_index("image")["sha256"]
    files = []
    for task, part in table.groupby("task"):
        files.append(tmp_path / f"{task}.1.parquet")
        part.assign(image=part["image"].map(hashes)).drop(columns="task").sample(frac=1, random_state=1).to_parquet(
            files[-1]
        )
    _, other = bring(files, tmp_path / "files")
    one, two = (json.loads(path.read_text()) for path in (whole, other))
    assert one["common"] == two["common"]
    assert one["predictions"] == two["predictions"]
    paths = table.assign(image="C:\\data\\" + table["image"])
    assert json.loads(bring(paths, tmp_path / "paths")[1].read_text())["common"] == one["common"]


def test_classes_alone_are_enough_and_give_the_same_scores(table, tmp_path):
    names = table[list(SUITE.classes)].idxmax(axis=1)
    answers = table[["image", "task"]].assign(predicted=names)
    submission, path = bring(answers, tmp_path)
    assert submission.claimed == bring(table, tmp_path / "other")[0].claimed
    assert json.loads(path.read_text())["outside"] == {"answers": "classes"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[1:], r"task filled, seed 1: the image circle\.filled\.test\.00 is missing.*1 \(circle"),
        (lambda t: pd.concat([t, t.iloc[:2]]), r"circle\.filled\.test\.00 occurs twice.*2 \(circle"),
        (lambda t: t.assign(image=["no.png", *t["image"].iloc[1:]]), r"no\.png is not a test image"),
        (lambda t: t[t["task"] != "hatched"], r"1 block \(hatched with seed 1\) is missing"),
        (lambda t: t.assign(seed=7), "'7' is not a seed of 'toy'"),
        (lambda t: t.drop(columns="task"), r"no column 'task'.*TASK\.SEED\.csv"),
        (lambda t: t.drop(columns="image"), "no column 'image'"),
        (lambda t: t.drop(columns="star"), r"1 column \(star\) is missing"),
        (lambda t: t.assign(star=5.0), r"not probabilities.*between 0.* and 5, and add up to 5"),
        (lambda t: t[["image", "task"]].assign(predicted="stars"), "'stars' is predicted, which is not a class"),
    ],
)
def test_what_is_missing_doubled_or_unknown_is_named(table, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        bring(change(table), tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_names_and_cards_are_checked_before_anything_is_read(tmp_path):
    for changes, message in (
        ({"method": "adu"}, "ships with adu-bench"),
        *(({"method": name}, "not a name") for name in ("../x", "a..b", "a.", "-a", "a-", "A", "a" * 41, "a\n")),
        ({"card": {"title": "Some"}}, "card cannot be used. It lacks authors, year"),
        ({"card": CARD | {"year": "soon"}}, "It is malformed at 'year': type"),
        ({"card": tmp_path / "none.yaml"}, "No such file"),
    ):
        with pytest.raises(UserError, match=message):
            bring(tmp_path / "none.csv", tmp_path, **changes)
    with pytest.raises(UserError, match=r"none\.csv' cannot be read"):
        bring(tmp_path / "none.csv", tmp_path)


def _parquet(frame):
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def _twice():
    buffer = io.BytesIO()
    pq.write_table(pa.table([["a"], ["b"]], names=["image", "image"]), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", b"image,predicted\na,b,c\n", "more fields than its header"),
        ("p.csv", b"image,predicted,image\na,b,c\n", "The column image is there twice"),
        ("p.csv", b"", "No columns to parse"),
        ("p.csv", b"\xff\xfe\x00\x00", "cannot be read"),
        ("p.csv.gz", gzip.compress(b"image,predicted\na,b\n", mtime=0), "cannot be read"),
        ("p.csv", b"image,\x00,predicted\n\x00,a,b\n", "is predicted, which is not a class"),
        ("p.csv", b"i" * 300_000 + b",predicted\n", "no column 'image'"),
        ("p.csv", b",".join(b"%d" % n for n in range(20_000)), "no column 'image'.*and 19,000 more"),
        ("p.parquet", b"PAR1", "not a Parquet file"),
        ("p.parquet", _twice(), "The column image is there twice"),
        ("p.parquet", _parquet(pd.DataFrame({"image": [["a"], ["b"]], "predicted": "circle"})), "lists or records"),
        ("p.parquet", _parquet(pd.DataFrame({"image": ["a"], "predicted": ["circle"], "task": 3})), "not a task"),
        ("p.parquet", _parquet(pd.DataFrame({"image": ["a"], "predicted": ["circle"], "seed": ["x"]})), "'task'|seed"),
    ],
)
def test_malformed_files_are_refused_in_short_sentences(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        bring(tmp_path / name, tmp_path / "rows")
    error = caught.value
    assert re.search(message, f"{error.what} {error.why} {error.remedy}", re.DOTALL)
    assert len(f"{error.what} {error.why} {error.remedy}") < 10_000
    assert not (tmp_path / "rows").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_pipes_devices_and_large_files_are_not_read(tmp_path, kind):
    os.mkfifo(tmp_path / f"pipe.{kind}")
    (tmp_path / f"zero.{kind}").symlink_to("/dev/zero")
    with (tmp_path / f"sparse.{kind}").open("wb") as file:
        file.truncate(2**33)
    for name, why in (("pipe", "not a regular file"), ("zero", "not a regular file"), ("sparse", "more than")):
        with pytest.raises(UserError) as caught:
            bring(tmp_path / f"{name}.{kind}", tmp_path / "rows")
        assert why in caught.value.why
