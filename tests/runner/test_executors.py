from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

from adu_bench.runner import executors
from adu_bench.runner.executors import Outcome, run_all
from adu_bench.store import Store


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


def test_nothing_to_do_starts_no_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "_start", None)
    outcome = run_all([], Store(tmp_path), device="cpu", jobs=4, timeout=None, listener=lambda *_: None)
    assert (outcome.done, outcome.failed, outcome.interrupted) == ([], [], False)
