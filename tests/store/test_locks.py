from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from adu_bench.store import locks
from adu_bench.store.locks import STALE, Lock

COUNT = 40
TAKE = """
import sys
from pathlib import Path
from adu_bench.store.locks import Lock

held = [Lock(Path(sys.argv[1]), f"run{number}") for number in range(int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.readline()
print(*[int(lock.acquire()) for lock in held], flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def elsewhere(tmp_path):
    """Make a file of a holder on another machine, by name and by the seconds since it was renewed."""

    def make(name: str, age: float) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{'0' * 32}-7-7-other").touch()
        then = time.time() - age
        os.utime(tmp_path / name / f"{'0' * 32}-7-7-other", (then, then))

    return make


@pytest.mark.parametrize("state", ["free", "abandoned"])
def test_of_two_processes_one_gets_each_lock(tmp_path, elsewhere, state):
    """They also must not both take over a lock whose machine is gone."""
    if state == "abandoned":
        for number in range(COUNT):
            elsewhere(f"run{number}", STALE + 60)
    command = [sys.executable, "-c", TAKE, str(tmp_path), str(COUNT)]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    first, second = ([int(text) for text in process.stdout.readline().split()] for process in both)
    assert [a + b for a, b in zip(first, second, strict=True)] == [1] * COUNT
    both[0].kill()
    both[0].wait()
    mine = [Lock(tmp_path, f"run{number}").acquire() for number in range(COUNT)]
    assert mine == [bool(taken) for taken in first], "locks of a killed process are free at once, others are not"
    both[1].communicate("end\n", timeout=30)


def test_a_holder_on_another_machine_is_trusted_until_its_renewals_stop(tmp_path, elsewhere):
    elsewhere("fresh", STALE - 60)
    elsewhere("old", STALE + 60)
    assert not Lock(tmp_path, "fresh").acquire()
    assert Lock(tmp_path, "old").acquire()


def test_only_the_clock_of_the_file_system_counts(tmp_path, elsewhere, monkeypatch):
    """A node whose clock is an hour ahead must not take over what is held."""
    elsewhere("fresh", 0)
    hour = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: hour)
    assert not Lock(tmp_path, "fresh").acquire()


def test_a_holder_renews_its_file_and_its_end_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.01)
    lock = Lock(tmp_path, "run")
    assert lock.acquire()
    os.utime(lock.own, (0, 0))
    deadline = time.monotonic() + 20
    while lock.own.stat().st_mtime == 0:
        assert time.monotonic() < deadline, "nobody renewed it"
        time.sleep(0.01)
    lock.release()
    assert not lock.held
    assert os.listdir(tmp_path) == []
