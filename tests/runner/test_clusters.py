"""Real engines on this machine: a Dask cluster of two workers, and submitit's local executor."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from adu_bench.audits.catalogue import find_audits
from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue
from adu_bench.runner.executors import slurm
from adu_bench.runner.executors.dask_cluster import DaskCluster, _own_cluster
from adu_bench.runner.executors.fused import Fused
from adu_bench.runner.executors.interface import Died, Outcome, Timeout
from adu_bench.runner.executors.remote import Delivery, arrived, packed
from adu_bench.runner.executors.slurm import Slurm, minutes
from adu_bench.runner.job import RunJob
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite
from adu_bench.workflows.audit import pending, run_audits
from adu_bench.workflows.run import settings_of

pytestmark = pytest.mark.thorough


@dataclass(frozen=True)
class Deadly:
    """A run; the first worker that has it, if it is deadly, is killed while it holds the lock."""

    job: RunJob
    log: Path
    deadly: bool
    inputs: tuple[str, ...] = ()
    maker: int = field(default_factory=os.getpid)

    @property
    def title(self):
        return self.job.title

    @property
    def store(self):
        return self.job.store

    @property
    def finished(self):
        return self.job.finished

    def moved(self, store):
        if os.getpid() != self.maker:
            with self.log.open("a") as log:
                log.write(f"{self.job.planned.spec.key}\n")
            if self.deadly and not (died := self.log.with_suffix(".died")).exists():
                died.touch()
                assert store.lock(self.job.planned.spec.key).__enter__()
                os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, job=self.job.moved(store))

    def receive(self, store):
        self.job.receive(store)

    def fail(self, *words):
        self.job.fail(*words)

    def run(self, device, progress):
        return self.job.run(device, progress)


@dataclass(frozen=True)
class Told:
    """A job without a run, which does what its word says."""

    word: str
    store: Store
    finished: bool = False
    inputs: tuple[str, ...] = ()

    @property
    def title(self):
        return self.word

    def __setstate__(self, state):
        self.__dict__.update(state)
        if self.word == "die":
            os.kill(os.getpid(), signal.SIGKILL)

    def moved(self, store):
        return replace(self, store=store)

    def fail(self, kind, reason, traceback=""):
        (self.store.root / "failed").write_text(f"{kind}: {reason}")

    def receive(self, store):
        shutil.copy(store.root / "failed", self.store.root)

    def run(self, device, progress):
        time.sleep(600)


@pytest.fixture
def planned():
    return plan(load_suite("toy"), Catalogue().select(["zero-shot"]), seeds=[1, 2]).runs[:2]


@pytest.fixture(scope="module")
def dask_cluster():
    """Two workers, forked from a process that has imported what they need."""
    distributed = pytest.importorskip("distributed", reason="needs adu-bench[dask]")
    import dask

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed.utils, "_forkserver_preload_set", True)
        multiprocessing.get_context("forkserver").set_forkserver_preload(
            ["distributed", "adu_bench.runner.execute", "adu_bench.audits.examine", __name__]
        )
        with (
            dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
            ) as cluster,
        ):
            yield cluster.scheduler_address


@dataclass(frozen=True)
class Variables(Told):
    """A job that reports its process's environment variables, and whether Dask profiles it, as its failure."""

    def run(self, device, progress):
        import dask

        profiled = dask.config.get("distributed.worker.profile.enabled")
        self.fail("told", " ".join([*sorted(os.environ), f"profiled={profiled}"]))
        return Outcome("failed", "told")


def test_own_workers_keep_their_memory_and_this_process_its_variables(tmp_path, monkeypatch):
    """Dask's MALLOC_TRIM_THRESHOLD_ doubles the time of small runs, and its profiler takes a tenth of busy cores."""
    pytest.importorskip("distributed", reason="needs adu-bench[dask]")
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    before = dict(os.environ)
    store = Store(tmp_path / "runs")
    store.require_writable()
    (result,) = DaskCluster(device="cpu").run([Variables("variables", store)])
    assert result.text == "told"
    told = (store.root / "failed").read_text().split()
    assert "OMP_WAIT_POLICY" in told
    assert "MALLOC_TRIM_THRESHOLD_" not in told
    assert "profiled=False" in told
    after = {name: value for name, value in os.environ.items() if not name.startswith("__DASK")}
    assert after == before


def test_a_worker_that_takes_long_to_end_is_no_matter_for_a_warning(caplog):
    class Slow:
        """A cluster whose process has to be killed at its end."""

        def __init__(self, **given):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *given):
            logger.warning("Worker process still alive after 4.0 seconds, killing")

    pytest.importorskip("dask", reason="needs adu-bench[dask]")
    logger = logging.getLogger("distributed.nanny")
    before = logger.level
    with _own_cluster(SimpleNamespace(LocalCluster=Slow), 1):
        logger.warning("a worker restarts")
    assert caplog.messages == ["a worker restarts"]
    assert logger.level == before


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
def test_a_dask_cluster_repeats_what_a_killed_worker_had_and_nothing_else(tmp_path, planned, dask_cluster, monkeypatch):
    """Shared folder, then a cluster that does not see the folder, one group, and audits: on the same two workers."""
    executor = DaskCluster(dask_cluster, device="cpu")
    check(executor, planned, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/run.json")}
    again = [RunJob(run, Store(tmp_path / "runs")) for run in planned]
    assert {result.state for result in executor.run(again)} == {"done"}, "another process finished them"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    # Without its mark the folder is not recognised, as on a machine that has no such folder.
    touch = Path.touch
    monkeypatch.setattr(Path, "touch", lambda path: None if ".shared-" in path.name else touch(path))
    far = Store(tmp_path / "far")
    apart = [RunJob(run, far) for run in planned]
    assert {result.state for result in Fused(executor, 2).run(apart)} == {"done"}
    assert far.keys() == Store(tmp_path / "runs").keys()
    frames = [Store(tmp_path / name).load(planned[0].spec.key).predictions() for name in ("far", "runs")]
    assert frames[0].equals(frames[1])
    own = tmp_path / "own.py"
    own.write_text(find_audits()["behaviour"].path.read_text().replace('name="behaviour"', 'name="own"'))
    known = find_audits(str(own))
    audits = pending(planned[:1], far, [known["behaviour"], known["own"]])
    run_json = (far.root / planned[0].spec.key / "run.json").stat().st_mtime_ns
    assert [result.state for result in run_audits(audits, executor)] == ["done"]
    assert pending(planned[:1], far, [known["behaviour"], known["own"]]) == []
    assert (far.root / planned[0].spec.key / "run.json").stat().st_mtime_ns == run_json, "only results came back"
    audits = pending(planned[:1], far, [replace(known["behaviour"], code="other")])
    (result,) = run_audits(audits, executor)
    assert "another version of the audit 'behaviour'" in result.text


def test_submitit_repeats_what_a_killed_process_had_and_nothing_else(tmp_path, planned, monkeypatch):
    pytest.importorskip("submitit", reason="needs adu-bench[slurm]")
    monkeypatch.setattr(slurm, "PAUSE", 0.2)
    monkeypatch.setattr(slurm, "LOOK", 0.5)
    logs = tmp_path / "logs"
    check(Slurm((), logs, "cpu", engine="local", timeout=600.0), planned, tmp_path)
    assert len([path for path in logs.glob("*.log") if path.is_symlink() and path.exists()]) == 2


def test_a_job_that_exceeds_its_time_fails_with_the_remedy(tmp_path):
    job = Told("sleep", Store(tmp_path))
    with packed([job], "cpu", 0.5) as (parcel,):
        result = arrived(job, replace(parcel, mark="none").do(1))
    assert result.state == "failed"
    assert result.text == "It took longer than 0.5 s (--timeout). Give it more, or leave out --timeout."
    assert (tmp_path / "failed").read_text() == f"timeout: {result.text}"


def test_a_process_that_dies_is_left_to_the_engine(tmp_path):
    with packed([Told("die", Store(tmp_path))], "cpu", 60.0) as (parcel,), pytest.raises(Died, match="code -9"):
        parcel.do(1)
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_another_process_had_is_done_once_its_results_are_there(tmp_path):
    other = Delivery(Outcome("elsewhere", "another process has it"), 1.0)
    states = [arrived(Told("wait", Store(tmp_path), finished), other).state for finished in (True, False)]
    assert states == ["done", "elsewhere"]


def test_a_slurm_job_that_reached_its_time_limit_too_often_says_so(monkeypatch):
    core = pytest.importorskip("submitit.core.utils", reason="needs adu-bench[slurm]")

    def never_again(*given):
        raise core.UncompletedJobError("Job not requeued because: timed-out too many times.")

    before = signal.signal(signal.SIGUSR2, never_again)
    try:
        slurm._name_time_limit()
        with pytest.raises(Timeout, match=r"time limit 3 times\. .* --slurm time="):
            os.kill(os.getpid(), signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_only_jobs_that_slurm_does_not_list_twice_are_lost(monkeypatch):
    monkeypatch.setattr(slurm, "LOOK", 0.0)
    sent = [SimpleNamespace(job_id=name) for name in ("7_0", "7_1", "7_2")]
    answers = iter([{"7_0", "7_1"}, None, {"7_1", "7_2"}, {"7_1"}])
    queue = slurm.Queue(lambda jobs: next(answers))
    assert [queue.left(sent) for _ in range(4)] == [set(), set(), set(), {"7_0"}]


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
