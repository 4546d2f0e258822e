"""Commands that are killed at random, or run on a full disk: what was finished stays whole."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adu_bench.store import Store

KILLS = 40
"""Kills per command."""
COMMAND = [sys.executable, "-m", "adu_bench"]
QUICK = ["--suite", "toy", "--limit", "1", "--methods", "collapse"]
COMMANDS = {
    "force": ["run", *QUICK, "--force"],
    "score": ["score", *QUICK, "--out", "out/scores.csv"],
    "write": ["leaderboard", "--suite", "toy", "--methods", "collapse", "--runs", "runs", "--write", "out"],
    "submit": ["submit", "collapse", "--suite", "toy", "--out", "out/b.zip"],
    "report": ["report", *QUICK, "--runs", "runs", "--out", "out"],
    "tune": ["tune", "lp-plus-plus", "--suite", "toy", "--trials", "2", "--out", "out"],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    done = subprocess.run([*COMMAND, "run", *QUICK], cwd=folder, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return folder


def whole(folder: Path) -> None:
    """Check that the finished run is there, undamaged, and that no file of results is a part of one."""
    store = Store(folder / "runs")
    store.sweep()
    assert len(store.keys()) == 1
    assert store.damage(store.keys()[0]) == ""
    for path in (path for path in folder.rglob("out/**/*") if path.suffix in (".json", ".parquet", ".zip", ".csv")):
        assert path.name.startswith(".") or path.stat().st_size > 0, path


def killed(folder: Path, command: list[str], seconds: float) -> None:
    process = subprocess.Popen(
        [*COMMAND, *command], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(seconds)
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_kills_at_random_lose_nothing(finished, tmp_path, name):
    shutil.copytree(finished / "runs", tmp_path / "runs")
    rng = random.Random(name)
    for _ in range(KILLS):
        killed(tmp_path, COMMANDS[name], rng.uniform(0.2, 6))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:  # a worker notices within a moment that its parent is gone
            with Store(tmp_path / "runs").lock(Store(finished / "runs").keys()[0]) as ours:
                if ours:
                    break
            time.sleep(0.2)
        whole(tmp_path)


@pytest.mark.parametrize("name", ["score", "force"])
def test_a_full_disk_ends_in_one_message_and_loses_nothing(finished, tmp_path, name):
    shutil.copytree(finished / "runs", tmp_path / "runs")
    done = subprocess.run(
        [*COMMAND, *COMMANDS[name]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=200,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1)),
    )
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "too large" in done.stdout + done.stderr
    whole(tmp_path)
    assert not list(tmp_path.glob("out/*"))
