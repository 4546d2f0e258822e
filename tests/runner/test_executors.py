from __future__ import annotations

import json
import os
import signal
import time
from types import SimpleNamespace

import pytest

from adu_bench.registry import Catalogue
from adu_bench.runner import executors
from adu_bench.runner.executors import Outcome, run_all, threads_for
from adu_bench.runner.plan import plan
from adu_bench.runner.worker import BLAS_THREADS
from adu_bench.store import Store
from adu_bench.suites import load_suite


def test_a_worker_is_deaf_to_ctrl_c_from_its_first_moment(tmp_path):
    """A terminal sends Ctrl-C to workers too, also to one that is still loading; only the parent ends them."""
    before = signal.getsignal(signal.SIGINT)
    worker = executors._start(Store(tmp_path), "cpu", 1, False)
    try:
        for _ in range(10):
            os.kill(worker.process.pid, signal.SIGINT)
            time.sleep(0.02)
        assert worker.pipe.poll(60)
        assert worker.pipe.recv().kind == "ready"
    finally:
        executors._stop(worker)
    assert not worker.process.is_alive()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_worker_that_dies_is_noticed_at_once(tmp_path):
    """The end of a dead worker's pipe stays readable, so it must not be taken for messages still to come."""
    worker = executors._start(Store(tmp_path), "cpu", 1, False)
    worker.run = SimpleNamespace(title="made-up")
    outcome = Outcome()
    worker.process.kill()
    deadline = time.monotonic() + 30
    while (broken := executors._broken(worker, None)) is None:
        assert time.monotonic() < deadline, "nobody noticed"
        executors._listen([worker], [], outcome, lambda *_: None)
    executors._stop(worker)
    assert broken == ("died", "The worker process ended with code -9, often for lack of memory.")


THREADS = '''"""Says how many threads numpy's linear algebra has."""

from dataclasses import dataclass

from threadpoolctl import threadpool_info

from adu_bench.api import Card, Classifier, Method, Problem


@dataclass(frozen=True, kw_only=True)
class Threads(Method):
    """Answer as zero-shot CLIP does."""

    card = Card(name="threads", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")

    def unlearn(self, problem: Problem) -> Classifier:
        """Change nothing."""
        (threads,) = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        problem.log(threads=threads)
        return problem.classifier()
'''


def test_linear_algebra_has_the_same_threads_whatever_the_machine_says(tmp_path, monkeypatch):
    """CMA-ES came out otherwise with one thread than with two."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    (tmp_path / "threads.py").write_text(THREADS)
    store = Store(tmp_path / "runs")
    runs = plan(load_suite("toy"), Catalogue([tmp_path]).select(["threads"]), store, limit=1).runs
    outcome = run_all(runs, store, device="cpu", jobs=2, timeout=None, listener=lambda *_: None)
    assert outcome.failed == []
    (line,) = (store.load(runs[0].spec.key).path / "train.jsonl").read_text().splitlines()
    assert json.loads(line)["threads"] == BLAS_THREADS


@pytest.mark.parametrize(
    ("wanted", "jobs", "threads"),
    [("", 1, 6), ("", 4, 1), ("", 8, 1), ("3", 1, 3), ("3", 4, 3), ("0", 2, 3), ("2,1", 1, 6)],
)
def test_workers_share_the_cores_unless_told(wanted, jobs, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    assert threads_for(jobs) == threads


def test_nothing_to_do_starts_no_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "_start", None)
    outcome = run_all([], Store(tmp_path), device="cpu", jobs=4, timeout=None, listener=lambda *_: None)
    assert (outcome.done, outcome.failed, outcome.interrupted) == ([], [], False)
