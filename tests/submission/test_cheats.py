"""Methods that make `verify --rerun` believe what they do not give; each succeeded in the verifier's own process.

The data set is in files, as public ones are: what a method draws itself cannot be kept from it.
"""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from adu_bench.cli import main
from adu_bench.core.paths import data_dir
from adu_bench.data import prepared, toy
from adu_bench.data.index import data_hash
from adu_bench.registry import Catalogue
from adu_bench.rerun.sandbox import FOLDER
from adu_bench.runner.plan import PlannedRun, plan
from adu_bench.store import Store
from adu_bench.submission.consistency import images_of
from adu_bench.submission.submission import from_runs, write_bundle
from adu_bench.suites import load_suite
from tests.conftest import make_predictions, write_run
from tests.submission.conftest import Here

pytestmark = pytest.mark.thorough

SUITE = """
title: Shapes in files
dataset: shapes
template: "a picture of a {}."
classes: all
forget: [[outline]]
shots: 4
seeds: [1]
backbone: emoji-clip
training: {batch: 32, precision: fp32}
methods: [reference]
"""
STYLES, SHAPES = ("filled", "outline", "inverted"), ("circle", "square", "star")


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Path:
    """A suite file, and its data set: image files, prepared."""
    folder = tmp_path_factory.mktemp("suite")
    rows = toy.load_index()
    rows = rows[rows["domain"].isin(STYLES) & rows["label"].isin(SHAPES) & (rows["pool"] != "pretrain")].copy()
    rows["path"] = rows["image"] + ".png"
    (folder / "images").mkdir()
    for path, pixels in zip(rows["path"], toy.render(rows), strict=True):
        Image.fromarray(pixels).save(folder / "images" / path)
    rows["sha256"] = [sha256((folder / "images" / path).read_bytes()).hexdigest() for path in rows["path"]]
    index = rows[["image", "domain", "label", "pool", "sha256", "path"]].reset_index(drop=True)
    made = prepared.Prepared("shapes", "t", "a", STYLES, SHAPES, folder / "images", data_hash(index), "files")
    prepared.write(made, index)
    (folder / "shapes.yaml").write_text(SUITE)
    yield folder / "shapes.yaml"
    shutil.rmtree(data_dir() / "shapes")


@pytest.fixture
def cheat(suite, tmp_path, monkeypatch):
    """Return a function that makes a cheat's bundle, verifies it with a rerun, and returns the exit status."""
    monkeypatch.setattr("adu_bench.runner.executors.local.LocalProcesses", Here)

    def verify(name: str, runs=write_wanted, **modules: str) -> int:
        (tmp_path / "mine").mkdir()
        shutil.copy(Path(__file__).parent / "cheats" / f"{name}.py", tmp_path / "mine")
        for module, text in modules.items():
            (tmp_path / "mine" / f"{module}.py").write_text(text)
        (choice,) = Catalogue([tmp_path / "mine" / f"{name}.py"]).select([name])
        declared = load_suite(str(suite))
        (run,) = plan(declared, [choice]).runs
        runs(run, tmp_path / "runs")
        write_bundle(from_runs(declared, choice, Store(tmp_path / "runs"), "runs"), tmp_path / "b.zip")
        rows = ["--write", str(tmp_path / "rows")]
        return main(["verify", str(tmp_path / "b.zip"), "--suite", str(suite), "--rerun", "1", *rows])

    return verify


def wanted_answers(task) -> pd.Series:
    """Return the class that gives the best score for each test image."""
    images = images_of(task)
    return (images["label"] + images["domain"].isin(task.forget)) % len(task.classes)


def write_wanted(run: PlannedRun, folder: Path) -> None:
    """Write a run with a Mem and a For of 1."""
    task, images = run.spec.task, images_of(run.spec.task)
    probabilities = np.full((len(images), len(task.classes)), 0.1 / (len(task.classes) - 1), np.float32)
    probabilities[np.arange(len(images)), wanted_answers(task)] = 0.9
    frame = make_predictions(probabilities, images["label"].to_numpy(), list(images["domain"]), task.forget)
    write_run(folder, run.spec, run.label, frame.assign(image=images.index.to_numpy()))


def write_executed(run: PlannedRun, folder: Path) -> None:
    """Write what the method gives on its author's machine, where it finds the test images."""
    from adu_bench.runner.execute import execute

    store = Store(folder)
    with store.lock(run.spec.key):
        execute(run, store, "cpu")


@pytest.mark.parametrize("name", [pytest.param("overwrites", marks=pytest.mark.slow), "patches"])
def test_submitted_answers_and_the_function_that_predicts_are_out_of_reach(cheat, capsys, name):
    assert cheat(name) == 1
    assert "Not reproduced" in capsys.readouterr().err


def test_submitted_answers_are_not_beside_the_methods_file(cheat, capsys):
    assert cheat("copies") == 2
    refusal = capsys.readouterr().err.strip().splitlines()
    assert len(refusal) == 3
    assert "The method failed: FileNotFoundError" in refusal[1]


def test_the_images_of_the_test_pool_are_out_of_reach(cheat, capsys, monkeypatch):
    """They are not where they usually are even where the machine allows no namespaces."""
    monkeypatch.setattr("adu_bench.rerun.job.isolation", lambda: FOLDER)
    assert cheat("peeks", write_executed) == 1
    assert "Not reproduced" in capsys.readouterr().err


def test_a_table_of_answers_does_not_know_slightly_changed_copies(cheat, suite, capsys):
    from adu_bench.runner.task_data import TaskData, load_shared_backbone

    (choice,) = Catalogue().select(["zero-shot"])
    task = plan(load_suite(str(suite)), [choice]).runs[0].spec.task
    images = TaskData(task, load_shared_backbone("emoji-clip", "cpu")).images("test")
    names = [",".join(f"{value:.4f}" for value in features[:6].tolist()) for features in images.frozen]
    table = dict(zip(names, wanted_answers(task).loc[images.names].tolist(), strict=True))
    assert cheat("remembers", table=f"ANSWERS = {table}\n") == 2
    assert "of slightly changed images" in capsys.readouterr().err
