"""The efficiency of two workers is that of runs per second, and says what ran beside them."""

from __future__ import annotations

import time

import pytest

from adu_bench.maintenance import workers
from adu_bench.runner.executors.interface import Result


class Clock:
    """An executor that takes a second per job and worker, and a long time to start, on a clock of its own."""

    now = 100.0

    def __init__(self, count):
        self.count = count

    def run(self, jobs, progress=None):
        Clock.now += 50
        for place, job in enumerate(jobs):
            Clock.now += (1.0 if self.count == 1 else 1.25) * (place % self.count == 0)
            yield Result(job, "done", "", 1.0)


def test_the_start_of_processes_does_not_count(monkeypatch):
    monkeypatch.setattr(workers, "ENGINES", {"some": Clock})
    monkeypatch.setattr(time, "perf_counter", lambda: Clock.now)
    found = workers.efficiencies(8, 1)
    assert found["engines"]["some"] == pytest.approx(0.8)
    assert found["runs"] == 8
    assert len(found["others"]) == 2


def test_a_run_that_fails_is_not_timed():
    class Failing(Clock):
        def run(self, jobs, progress=None):
            yield Result(jobs[0], "failed", "why", 1.0)

    with pytest.raises(RuntimeError, match="seed 1: why"):
        workers.timed_runs(Failing, 1, 2)


def test_runs_are_equal_but_for_the_seed():
    runs = workers.equal_runs(3)
    assert [run.spec.seed for run in runs] == [1, 2, 3]
    assert len({(run.label, run.spec.task.name) for run in runs}) == 1
