"""Commands that are killed at random, or run on a full disk: what was finished stays whole."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from adu_bench.data import prepared
from adu_bench.registry import Catalogue
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.submission.consistency import images_of
from adu_bench.suites import load_suite
from tests.conftest import write_run
from tests.data.trees import grow
from tests.faults.commands import check_whole, finish, start
from tests.submission.conftest import possible_predictions

pytestmark = pytest.mark.thorough

COMMAND = [sys.executable, "-m", "adu_bench"]
TOY = ["--suite", "toy", "--methods", "collapse"]
QUICK = [*TOY, "--limit", "1"]
COMMANDS = {
    "score": (["score", *TOY, "--out", "out/scores.csv"], 2),
    "write": (["leaderboard", *TOY, "--runs", "runs", "--write", "out"], 3),
    "submit": (["submit", "collapse", "--suite", "toy", "--out", "out/b.zip"], 2),
    "report": (["report", *TOY, "--runs", "runs", "--out", "out"], 12),
    "bring": (["bring", "all.csv", "--suite", "toy", "--method", "x", "--card", "card.yaml", "--out", "out"], 3),
    "prepare": (["data", "prepare", "mine", "--from", "images"], 2),
}
"""Commands that compute no classifier, and the seconds within which they are killed."""
RUNS = {
    "first": (["run", *QUICK], 8),
    "force": (["run", *QUICK, "--force"], 8),
    "tune": (["tune", "lp-plus-plus", "--suite", "toy", "--trials", "2", "--out", "out"], 8),
}
"""Commands with worker processes."""


def cases(names: Iterable[str], few: int, but: Collection[str]) -> list[Any]:
    """Return a command with some kills for each name, except for those that take long, and slow ones with 40 kills."""
    many = [pytest.param(name, 40, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]) for name in names]
    return [*((name, few) for name in names if name not in but), *many]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory) -> Path:
    """A folder with finished runs, predictions from outside, and images; nothing of it was computed."""
    folder = tmp_path_factory.mktemp("made-up")
    runs = plan(load_suite("toy"), Catalogue().select(["collapse"])).runs
    brought = []
    for number, run in enumerate(runs):
        predictions = possible_predictions(run.spec.task, number)
        write_run(folder / "runs", run.spec, run.label, predictions)
        names = pd.Series(run.spec.task.classes)[predictions["predicted"].to_numpy()].to_numpy()
        images = images_of(run.spec.task).index
        brought.append(pd.DataFrame({"image": images, "predicted": names, "task": run.spec.task.name}))
    pd.concat(brought).to_csv(folder / "all.csv", index=False)
    (folder / "card.yaml").write_text("title: Trained elsewhere\nauthors: A. Stranger\nyear: 2026\n")
    grow(folder / "images", [f"{domain}/{label}" for domain in ("day", "night") for label in ("cat", "dog")], 60)
    return folder


@pytest.fixture
def here(made_up, tmp_path, monkeypatch) -> Path:
    shutil.copytree(made_up, tmp_path / "here")
    for name in ("CACHE", "DATA"):
        monkeypatch.setenv(f"ADU_BENCH_{name}", str(tmp_path / name.lower()))
    return tmp_path / "here"


def variables() -> dict[str, str]:
    return {name: os.environ[name] for name in ("ADU_BENCH_CACHE", "ADU_BENCH_DATA")}


@pytest.mark.parametrize(("name", "kills"), cases(COMMANDS, 2, but=["report"]))
def test_kills_at_random_leave_no_part_of_a_result(here, name, kills):
    command, seconds = COMMANDS[name]
    rng = random.Random(f"{name} {kills}")
    seen = False
    for number in range(kills):
        if name == "prepare":  # each time other images
            grow(here / "images", ["day/dog"], 1, start=100 + number)
        process, output = start(here, command, variables())
        time.sleep(rng.uniform(0.01, seconds))
        process.kill()
        finish(process, output)
        check_whole(here, 4)
        there = prepared.read("mine")
        assert there is not None or not seen, "a prepared data set is gone"
        if there is not None:
            seen = True
            assert len(there.read_index()) >= 240
    for left in (path for path in here.rglob(".*.tmp") if path.is_file()):
        os.utime(left, (0, 0))
    status, printed = finish(*start(here, command, variables()))
    assert status == 0, printed
    assert not list(here.rglob(".*.tmp"))
    check_whole(here, 4)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_ends_in_one_message_and_leaves_nothing(here, name):
    status, printed = finish(*start(here, COMMANDS[name][0], variables(), largest=1))
    assert status in (1, 2), printed
    assert "Traceback" not in printed
    assert "too large" in printed
    check_whole(here, 4)
    assert not [path for path in here.glob("out/**/*") if path.is_file()]
    assert prepared.read("mine") is None


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    done = subprocess.run([*COMMAND, "run", *QUICK], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(("name", "kills"), cases(RUNS, 1, but=["force", "tune"]))
def test_kills_at_random_lose_no_run(finished, tmp_path, name, kills):
    """A first run counts as a whole or not at all; one that was finished stays while another takes its place."""
    command, seconds = RUNS[name]
    first = name == "first"
    if not first:
        shutil.copytree(finished / "runs", tmp_path / "runs")
    (key,) = Store(finished / "runs").keys()
    rng = random.Random(f"{name} {kills}")
    for _ in range(kills):
        process = subprocess.Popen(
            [*COMMAND, *command],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(rng.uniform(0.2, seconds))
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:  # a worker notices within a moment that its parent is gone
            with Store(tmp_path / "runs").lock(key) as ours:
                if ours:
                    break
            time.sleep(0.2)
        check_whole(tmp_path, len(Store(tmp_path / "runs").keys()) if first else 1)
        if first:
            shutil.rmtree(tmp_path / "runs")
    if first and kills > 1:
        done = subprocess.run([*COMMAND, *command], cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        check_whole(tmp_path, 1)


@pytest.mark.parametrize("kills", [1, pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_kills_while_caches_are_made_change_no_prediction(tmp_path, kills):
    """What a kill leaves of drawn images, resized images, features and hashes is used or made again, never wrong."""
    command = [*COMMAND, "run", "--suite", "toy", "--methods", "zero-shot,lp-plus-plus", "--limit", "2"]
    quiet = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    clean = os.environ | {"ADU_BENCH_CACHE": str(tmp_path / "clean")}
    start = time.monotonic()
    subprocess.run([*command, "--out", "expected"], env=clean, check=True, **quiet)
    seconds = time.monotonic() - start
    expected = _predictions(tmp_path / "expected")
    assert len(expected) == 4
    cache, rng = tmp_path / "cache", random.Random(kills)
    killed = os.environ | {"ADU_BENCH_CACHE": str(cache)}
    met = 0
    for number in range(kills):
        process = subprocess.Popen([*command, "--out", "left"], env=killed, start_new_session=True, **quiet)
        time.sleep(rng.uniform(0.2 * seconds, seconds))
        os.killpg(process.pid, signal.SIGKILL)  # with its workers, which make most caches
        process.wait()
        met += any(path.is_file() for path in cache.rglob("*"))
        for path in (path for path in cache.rglob("*.tmp") if path.is_file()):
            os.utime(path, (0, 0))
        out = f"next-{number}"
        done = subprocess.run([*command, "--out", out], env=killed, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found = _predictions(tmp_path / out)
        assert found.keys() == expected.keys()
        for key, table in expected.items():
            pd.testing.assert_frame_equal(found[key], table, check_exact=True)
        assert not list(cache.rglob("*.tmp"))
        for path in (cache, tmp_path / "left", tmp_path / out):
            shutil.rmtree(path, ignore_errors=True)
    assert kills == 1 or met > 1, "no kill met a cache"


def _predictions(folder: Path) -> dict[str, pd.DataFrame]:
    store = Store(folder)
    keys = store.keys()
    return {key: store.load(key).predictions() for key in keys}


@pytest.mark.parametrize("arguments", [["run", *QUICK, "--force"], ["audit", *QUICK, "--audits", "rounding"]])
def test_a_full_disk_during_computations_loses_nothing(finished, tmp_path, arguments):
    shutil.copytree(finished / "runs", tmp_path / "runs")
    status, printed = finish(*start(tmp_path, arguments, largest=1))
    assert status in (1, 2), printed
    assert "Traceback (most recent call last)" not in printed
    assert "too large" in printed
    check_whole(tmp_path, 1)


def test_results_can_be_read_while_runs_are_replaced(finished, tmp_path):
    shutil.copytree(finished / "runs", tmp_path / "runs")
    process, output = start(tmp_path, ["run", *QUICK, "--force"])
    reads = 0
    while process.is_alive():
        status, printed = finish(*start(tmp_path, ["status", *QUICK, "--json"]))
        assert (status, '"finished": 1' in printed) == (0, True), printed
        status, printed = finish(*start(tmp_path, ["leaderboard", *QUICK, "--runs", "runs"]))
        assert status == 0, printed
        reads += 1
    status, printed = finish(process, output)
    assert status == 0, printed
    assert reads > 1
    check_whole(tmp_path, 1)
