"""Real engines on this machine: a Dask cluster of two workers, and submitit's local executor."""

from __future__ import annotations

import os
import re
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from adu_bench.cli.run import settings_of
from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue
from adu_bench.runner.executors.dask_cluster import DaskCluster
from adu_bench.runner.executors.fused import Fused
from adu_bench.runner.executors.remote import arrived, packed
from adu_bench.runner.executors.slurm import Slurm, minutes
from adu_bench.runner.job import RunJob
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite


@dataclass(frozen=True)
class Deadly:
    """A run whose worker is killed the first time, while it holds the lock."""

    job: RunJob
    log: Path
    deadly: bool

    @property
    def title(self):
        return self.job.title

    @property
    def store(self):
        return self.job.store

    def moved(self, store):
        return replace(self, job=self.job.moved(store))

    def receive(self, store):
        self.job.receive(store)

    def fail(self, *words):
        self.job.fail(*words)

    def run(self, device, progress):
        with self.log.open("a") as log:
            log.write(f"{self.job.planned.spec.key}\n")
        if self.deadly and not (died := self.log.with_suffix(".died")).exists():
            died.touch()
            assert self.job.store.lock(self.job.planned.spec.key).__enter__()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.job.run(device, progress)


@pytest.fixture
def planned():
    return plan(load_suite("toy"), Catalogue().select(["zero-shot"]), seeds=[1, 2]).runs[:4]


def check(executor, runs, folder: Path) -> None:
    store = Store(folder / "runs")
    store.require_writable()
    jobs = [Deadly(RunJob(run, store), folder / "log", place == 1) for place, run in enumerate(runs)]
    results = list(executor.run(jobs))
    assert {result.job.title: result.state for result in results} == {run.title: "done" for run in runs}
    keys = sorted(run.spec.key for run in runs)
    assert store.keys() == keys
    assert [store.damage(key) for key in keys] == [""] * len(keys)
    assert not store.failed()
    begun = sorted((folder / "log").read_text().split())
    assert begun == sorted([*keys, runs[1].spec.key]), "only the run whose worker was killed began again"
    assert not list(store.root.glob(".shared-*"))


@pytest.mark.timeout(600)
def test_a_dask_cluster_repeats_what_a_killed_worker_had_and_nothing_else(tmp_path, planned, monkeypatch):
    """Shared folder, then a cluster that does not see the folder, and one group: on the same two workers."""
    distributed = pytest.importorskip("distributed", reason="needs adu-bench[dask]")
    with distributed.LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        executor = DaskCluster(cluster.scheduler_address, device="cpu")
        check(executor, planned, tmp_path)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/run.json")}
        again = [RunJob(run, Store(tmp_path / "runs")) for run in planned]
        assert {result.state for result in executor.run(again)} == {"elsewhere"}
        assert {path: path.stat().st_mtime_ns for path in before} == before
        # Without its mark the folder is not recognised, as on a machine that has no such folder.
        touch = Path.touch
        monkeypatch.setattr(Path, "touch", lambda path: None if ".shared-" in path.name else touch(path))
        apart = [RunJob(run, Store(tmp_path / "far")) for run in planned]
        assert {result.state for result in Fused(executor, 2).run(apart)} == {"done"}
        assert Store(tmp_path / "far").keys() == Store(tmp_path / "runs").keys()
        frames = [Store(tmp_path / name).load(planned[0].spec.key).predictions() for name in ("far", "runs")]
        assert frames[0].equals(frames[1])


def test_submitit_repeats_what_a_killed_process_had_and_nothing_else(tmp_path, planned):
    pytest.importorskip("submitit", reason="needs adu-bench[slurm]")
    logs = tmp_path / "logs"
    check(Slurm((), logs, "cpu", engine="local", pause=0.2), planned[:2], tmp_path)
    assert len([path for path in logs.glob("*.log") if path.is_symlink() and path.exists()]) == 2


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("changed", "why"),
    [({"core": "other"}, "another version of adu-bench"), ({"device": "cuda:99"}, "no (CUDA )?device")],
)
def test_a_worker_that_cannot_do_a_run_rightly_says_why(changed, why, shared, tmp_path, planned):
    """Another version would store its numbers under the sender's key; an error must not look like a lost process."""
    job = RunJob(planned[0], Store(tmp_path / "runs"))
    job.store.require_writable()
    with packed([job], "cpu") as (parcel,):
        delivery = replace(parcel, **changed, **({} if shared else {"mark": "none"})).do(1)
    result = arrived(job, delivery)
    assert result.state == "failed"
    assert re.search(why, result.text)
    assert job.store.failed() == {planned[0].spec.key}
    assert not job.store.keys()


def test_a_scheduler_that_is_not_there_is_named(tmp_path):
    pytest.importorskip("distributed", reason="needs adu-bench[dask]")
    with pytest.raises(UserError, match="no Dask scheduler at '"):
        list(DaskCluster(scheduler_file=str(tmp_path / "none.json")).run([]))


@pytest.mark.parametrize("engine", ["distributed", "submitit"])
def test_a_missing_engine_is_named_with_what_installs_it(engine, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, engine, None)
    executor = DaskCluster() if engine == "distributed" else Slurm((), tmp_path)
    with pytest.raises(UserError, match=r'pip install "adu-bench\[(dask|slurm)\]"'):
        list(executor.run([]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30", 30), ("10:01", 11), ("4:00:00", 240), ("1-12", 2160), ("1-12:30", 2190), ("2-0:0:1", 2881)],
)
def test_times_are_read_as_slurm_reads_them(text, expected):
    assert minutes(text) == expected


@pytest.mark.parametrize("text", ["soon", "1:2:3:4", "-1", "4h", ""])
def test_what_is_not_a_time_is_refused(text):
    with pytest.raises(UserError, match="time=4:00:00"):
        minutes(text)


def test_options_of_sbatch_are_pairs():
    assert settings_of("partition=gpu, time=4:00:00,gpus=1") == (
        ("partition", "gpu"),
        ("time", "4:00:00"),
        ("gpus", "1"),
    )
    with pytest.raises(UserError, match="'gpu' is not an option"):
        settings_of("gpu")
