"""A real SLURM of one node: its daemons, its queue, and what it does to jobs."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adu_bench.runner.executors import slurm as executor
from adu_bench.store import Store
from tests.command import call
from tests.slurm import NoSlurm, slurm

pytestmark = pytest.mark.thorough

SLOW = '''"""Answers as zero-shot CLIP does; the first job of an array never ends."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from adu_bench.api import Card, Classifier, Method, Problem


@dataclass(frozen=True, kw_only=True)
class Slow(Method):
    """Wait."""

    card = Card(name="slow", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")

    def unlearn(self, problem: Problem) -> Classifier:
        """Change nothing."""
        if os.environ.get("SLURM_ARRAY_TASK_ID") == "0":
            Path(os.environ["TEST_MARK"]).write_text(os.environ["SLURM_JOB_ID"])
            time.sleep(600)
        return problem.classifier()
'''


@pytest.fixture
def cluster(monkeypatch):
    pytest.importorskip("submitit", reason="needs adu-bench[slurm]")
    try:
        with slurm():
            monkeypatch.setattr(executor, "PAUSE", 0.2)
            monkeypatch.setattr(executor, "LOOK", 1.0)
            yield
    except NoSlurm as error:
        pytest.skip(str(error))


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen\n{said('squeue', '--states=all')}"
        time.sleep(0.1)


def disturb(mark: Path) -> None:
    """Queue the second job of the array again, as pre-emption does, and kill the first one while it has its run."""

    def state(job: str) -> str:
        return said("squeue", "--array", f"--jobs={job}", "--noheader", "--format=%T").strip()

    wait_for(lambda: state("1_1") == "RUNNING")
    said("scontrol", "requeue", "1_1")
    wait_for(lambda: state("1_1") == "PENDING")
    # SLURM waits for two minutes otherwise.
    said("scontrol", "update", "JobId=1_1", "StartTime=now")
    wait_for(lambda: mark.exists() and bool(mark.read_text()))
    said("scancel", "--signal=KILL", "--full", mark.read_text())


@pytest.mark.timeout(400)
def test_a_plan_survives_a_killed_and_a_requeued_job(tmp_path, cluster, monkeypatch):
    mark = tmp_path / "mark"
    monkeypatch.setenv("TEST_MARK", str(mark))
    (tmp_path / "slow.py").write_text(SLOW)
    thread = threading.Thread(target=disturb, args=[mark])
    thread.start()
    select = ["--suite", "toy", "--methods", "slow", "--from", "slow.py", "--seeds", "1", "--limit", "2"]
    where = ["--cluster", "slurm", "--slurm", "time=20,cpus-per-task=1", "--device", "cpu", "--timeout", "900"]
    done = call("run", *select, *where, cwd=tmp_path)
    thread.join()
    assert "[2/2]" in done.stdout
    assert any(line.split()[:2] == ["1", "slow"] for line in done.stdout.splitlines()), "it has a row on the board"
    store = Store(tmp_path / "runs")
    keys = store.keys()
    assert len(keys) == 2
    assert [store.damage(key) for key in keys] == ["", ""]
    assert not store.failed()
    logs = tmp_path / "runs" / ".slurm"
    (again,) = logs.glob("[0-9]_0_result.pkl")
    assert not set(logs.glob("*_result.pkl")) - {again, logs / "1_0_0_result.pkl", logs / "1_1_0_result.pkl"}
    names = {"slow__forget_filled__seed_1.log", "slow__forget_outline__seed_1.log"}
    assert {path.name for path in logs.glob("*.log") if path.is_symlink() and path.exists()} == names
    assert not list((tmp_path / "runs" / ".locks").iterdir())
    assert not list((tmp_path / "runs").glob(".shared-*"))
    wait_for(lambda: said("squeue", "--noheader") == "")
    assert "Restarts=1 " in said("scontrol", "show", "job", "1_1")
    refused = call("run", *select, "--force", "--cluster", "slurm", "--slurm", "partition=x", cwd=tmp_path, status=2)
    assert "SLURM refused the jobs." in refused.stderr
    assert "Invalid partition name" in refused.stderr
