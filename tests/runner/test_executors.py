from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from adu_bench.core.errors import UserError
from adu_bench.core.progress import silent
from adu_bench.registry import Catalogue
from adu_bench.runner.executors import local
from adu_bench.runner.executors.interface import device_lost
from adu_bench.runner.executors.local import LocalProcesses, threads_for
from adu_bench.runner.executors.worker import BLAS_THREADS, _tell
from adu_bench.runner.job import RunJob
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite


def test_a_worker_ignores_ctrl_c_from_its_start():
    """A terminal sends Ctrl-C to workers too, also to one that is still loading; only the parent ends them."""
    before = signal.getsignal(signal.SIGINT)
    worker = local.start("cpu", 1)
    try:
        for _ in range(10):
            os.kill(worker.process.pid, signal.SIGINT)
            time.sleep(0.02)
        assert worker.pipe.poll(60)
        assert worker.pipe.recv().kind == "ready"
    finally:
        local.stop(worker)
    assert not worker.process.is_alive()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_worker_that_dies_is_noticed_at_once():
    """The end of a dead worker's pipe stays readable, so it must not be taken for messages still to come."""
    worker = local.start("cpu", 1)
    worker.job = SimpleNamespace(title="made-up")
    pool = local._Pool(LocalProcesses(), [], silent, [worker])
    worker.process.kill()
    deadline = time.monotonic() + 30
    while (broken := local.broken(worker, None)) is None:
        assert time.monotonic() < deadline, "nobody noticed"
        assert list(pool.listen()) == []
    local.stop(worker)
    assert broken == ("died", "The worker process ended with code -9, often for lack of memory.")


def test_a_worker_without_a_parent_records_no_failure():
    """What a job says while its parent is gone must not raise in the job, which would be recorded as its error."""
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    child = os.fork()
    if child == 0:
        try:
            _tell(theirs, "training", 1, 2)
        finally:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_only_a_killed_worker_is_said_to_lack_memory():
    worker = SimpleNamespace(job=object(), gone=True, process=SimpleNamespace(exitcode=1, join=lambda _: None))
    assert local.broken(worker, None) == ("died", "The worker process ended with code 1.")


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


def test_linear_algebra_has_the_same_threads_on_every_machine(tmp_path, monkeypatch):
    """CMA-ES gave other results with one thread than with two."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    (tmp_path / "threads.py").write_text(THREADS)
    store = Store(tmp_path / "runs")
    runs = plan(load_suite("toy"), Catalogue([tmp_path]).select(["threads"]), limit=1).runs
    results = LocalProcesses("cpu", 2).run([RunJob(run, store) for run in runs])
    assert [result.state for result in results] == ["done"]
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


def test_nothing_to_do_starts_no_worker(monkeypatch):
    monkeypatch.setattr(local, "start", None)
    assert list(LocalProcesses("cpu", 4).run([])) == []


@pytest.mark.parametrize("package", ["torch", "open_clip"])
def test_without_the_libraries_of_runs_no_worker_starts_and_no_run_is_marked_as_failed(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(local, "start", None)
    with pytest.raises(UserError, match=f"'{package}' is not installed.*doctor"):
        list(LocalProcesses("cpu").run([Sum((1,), tmp_path / "a")]))
    assert not list(tmp_path.iterdir())


@dataclass(frozen=True)
class Sum:
    """A job that is not a run: any picklable object with these three members works."""

    numbers: tuple[int, ...]
    file: Path

    @property
    def title(self):
        return f"sum of {self.numbers}"

    def run(self, device, progress):
        if not self.numbers:
            raise UserError("There is nothing to add.", "The list is empty.", "Give numbers.")
        progress("adding", 1, 2, "half")
        self.file.write_text(str(sum(self.numbers)))
        return "done", device

    def fail(self, kind, reason, traceback=""):
        self.file.write_text(f"{kind}: {reason}")


def test_jobs_report_progress_and_end_in_results(tmp_path):
    jobs = [Sum((1, 2), tmp_path / "a"), Sum((), tmp_path / "b"), Sum((3,), tmp_path / "c")]
    told = []
    results = list(LocalProcesses("cpu").run(jobs, lambda *one: told.append(one)))
    assert [result.state for result in results] == ["done", "failed", "done"]
    assert [result.job for result in results] == jobs
    assert [(tmp_path / name).read_text() for name in "ac"] == ["3", "3"]
    assert (tmp_path / "b").read_text().startswith("input: There is nothing to add.")
    assert ("sum of (1, 2)", 1, 2, "adding, half") in told
    assert told.count(("sum of (1, 2)", 1, 1)) == 1


def test_closing_the_results_ends_the_workers(tmp_path, monkeypatch):
    started = []
    start = local.start
    monkeypatch.setattr(local, "start", lambda *given: started.append(start(*given)) or started[-1])
    results = LocalProcesses("cpu").run([Sum((number,), tmp_path / "a") for number in range(50)])
    next(results)
    results.close()
    assert [worker.process.is_alive() for worker in started] == [False]


@dataclass(frozen=True)
class Poison(Sum):
    """A job that meets an error after which CUDA refuses all work of the process, wrapped by a method's own."""

    def run(self, device, progress):
        if self.numbers:
            return "done", str(os.getpid())
        try:
            raise RuntimeError("CUDA error: device-side assert triggered")
        except RuntimeError as error:
            raise ValueError("the step failed") from error


def test_a_worker_that_lost_its_device_ends_and_a_fresh_one_takes_the_next_job(tmp_path, monkeypatch):
    started = []
    start = local.start
    monkeypatch.setattr(local, "start", lambda *given: started.append(start(*given)) or started[-1])
    jobs = [Poison(numbers, tmp_path / str(place)) for place, numbers in enumerate([(), (1,), ()])]
    pids, texts = [], []
    for result in LocalProcesses("cpu").run(jobs):
        pids.append(started[-1].process.pid if result.state == "done" else None)
        texts.append(result.text)
    assert texts == ["ValueError: the step failed", str(pids[1]), "ValueError: the step failed"]
    assert [(tmp_path / name).read_text() for name in "02"] == ["error: ValueError: the step failed"] * 2
    assert len(started) == 2, "a fresh worker is only started where a job waits"
    assert not any(worker.process.is_alive() for worker in started)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: unspecified launch failure"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), False),
        (RuntimeError("CUDA error: out of memory"), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError("no CUDA error: a text"), False),
    ],
)
def test_which_errors_lose_the_device(error, lost):
    assert device_lost(error) is lost
