"""Runs that are trained together: grouped, locked, stored and failed one by one, with the answers of single runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from adu_bench.cli import main
from adu_bench.clip import turns
from adu_bench.core.errors import RunFailed, UserError
from adu_bench.registry import Catalogue
from adu_bench.runner.executors import fused
from adu_bench.runner.executors.fused import MOST, Fused, Group
from adu_bench.runner.executors.interface import Result, perform
from adu_bench.runner.job import RunJob
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite
from adu_bench.workflows.run import local_executor


@dataclass(frozen=True)
class Note:
    """Appends its name to a file; ``kind`` says how it ends."""

    name: str
    path: Path
    kind: str = ""
    family: str = "notes"

    title = property(lambda self: self.name)
    finished = property(lambda self: self.path.is_file() and self.name in self.path.read_text().split())

    def run(self, device, progress):
        if self.kind == "fails":
            raise RunFailed("gave up")
        if self.kind == "cuda":
            raise RuntimeError("CUDA error: device-side assert triggered")
        for _ in range(2):
            turns.together("forward", self, self._joint)
        self._write(self.name)
        return "done", self.name.upper()

    def _joint(self, brought):
        if len(brought) > 2 and any(job.kind == "large" for job in brought):
            raise torch.OutOfMemoryError("too many")
        if len(brought) > 2 and any(job.kind == "broken" for job in brought):
            raise ValueError("does not go together")
        self._write("+".join(job.name for job in brought))
        return brought

    def _write(self, text):
        with self.path.open("a") as file:
            file.write(f"{text}\n")

    def fail(self, kind, reason, traceback=""):
        self._write(f"!{self.name}:{kind}")


class Here:
    """An executor in this process."""

    def run(self, jobs, progress):
        for job in jobs:
            outcome = perform(job, "cpu", progress)
            yield Result(job, outcome.state, outcome.text, 1.0)


@pytest.fixture(autouse=True)
def _nothing_is_known_of_memory(monkeypatch):
    monkeypatch.setattr(fused, "_FITS", {})


def names(jobs, *size):
    return [
        [job.name for job in one.jobs] if isinstance(one, Group) else one.name for one in fused._grouped(jobs, *size)
    ]


def test_jobs_of_one_family_are_grouped_where_the_first_of_them_comes(tmp_path):
    jobs = [Note(name, tmp_path, family=name[0]) for name in ("a1", "b1", "a2", "a3", "b2", "c1", "a4")]
    assert names(jobs, 3) == [["a1", "a2", "a3"], "a4", ["b1", "b2"], "c1"]
    assert names(jobs, 1) == ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]
    assert names(jobs, 8, 2) == [["a1", "a2", "a3", "a4"], ["b1", "b2"], "c1"]
    assert names(jobs, 8, 4) == [["a1", "a2"], ["a3", "a4"], ["b1", "b2"], "c1"]
    assert names([], 8, 2) == []
    alone = object()
    assert list(fused._grouped([alone, *jobs[:1]], 8)) == [alone, jobs[0]]


def test_there_is_one_result_per_job_and_one_failure_stops_no_other(tmp_path):
    path = tmp_path / "notes"
    jobs = [Note("a", path), Note("b", path, "fails"), Note("c", path)]
    found = list(Fused(Here(), 8).run(jobs, lambda *step: None))
    assert [(one.job.name, one.state, one.text) for one in found] == [
        ("a", "done", "A"),
        ("b", "failed", "gave up"),
        ("c", "done", "C"),
    ]
    assert path.read_text().split() == ["!b:runfailed", "a+c", "a+c", "a", "c"]


def test_a_group_that_does_not_fit_is_halved(tmp_path):
    path = tmp_path / "notes"
    jobs = [Note(name, path, "large") for name in "abcd"]
    found = list(Fused(Here(), 8).run(jobs, lambda *step: None))
    assert [one.text for one in found] == ["A", "B", "C", "D"]
    assert path.read_text().split() == ["a+b", "a+b", "a", "b", "c+d", "c+d", "c", "d"]


def test_later_groups_of_a_family_begin_with_what_fitted(tmp_path):
    path = tmp_path / "notes"
    first = [Note(name, path, "large") for name in "abcd"]
    later = [Note(name, path, "large") for name in "efgh"]
    other = [Note(name, path, family="others") for name in "ijk"]
    tried = []
    for jobs in (first, later, other):
        group = Group(tuple(jobs))
        group.run("cpu", lambda *step: None)
        tried.append(fused._FITS.copy())
    assert tried == [{"notes": 2}] * 3
    assert "e+f+g" not in path.read_text()
    assert "i+j+k" in path.read_text()


def test_a_failure_other_than_of_memory_says_nothing_of_later_groups(tmp_path):
    jobs = tuple(Note(name, tmp_path / "notes", "broken") for name in "abc")
    assert Group(jobs).run("cpu", lambda *step: None).state == "done"
    assert fused._FITS == {}


def test_how_many_runs_are_fused_is_chosen_by_the_device(monkeypatch):
    for device, size in (("cpu", 1), ("cuda", MOST)):
        monkeypatch.setattr("adu_bench.workflows.run.in_child", lambda function, wanted, found=device: found)
        made = local_executor("auto", 2, "auto", timeout=10)
        assert (made.size, made.workers, made.inner.timeout) == (size, 2, 10 * size)
    assert local_executor("cpu", 2, 3).workers == 1


def test_a_lost_device_ends_the_worker_after_the_group(tmp_path):
    path = tmp_path / "notes"
    outcome = perform(Group((Note("a", path), Note("b", path, "cuda"))), "cpu", lambda *step: None)
    assert outcome.device_lost


def test_a_failure_of_the_whole_group_is_recorded_for_the_jobs_that_it_cut_off(tmp_path):
    path = tmp_path / "notes"
    group = Group((Note("a", path), Note("b", path)))
    path.write_text("a\n")
    group.fail("timeout", "ended after 5 s")
    found = list(group.single(Result(group, "failed", "ended after 5 s", 6.0)))
    assert [(one.job.name, one.state, one.seconds) for one in found] == [("a", "done", 3.0), ("b", "failed", 3.0)]
    assert path.read_text().split() == ["a", "!b:timeout"]


def test_a_group_has_at_least_one_run():
    with pytest.raises(UserError, match="--fuse 0 is too few"):
        Fused(Here(), 0)


@pytest.mark.parametrize("text", ["many", "2.5", "auto8", ""])
def test_what_is_no_number_of_runs_is_refused(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("options.yaml").write_text(f'fuse: "{text}"' if text != "2.5" else "fuse: 2.5")
    for options in (["--fuse", text], ["--config", "options.yaml"]):
        assert main(["run", *options]) == 2
        assert "number" in capsys.readouterr().err
    assert not Path("runs").exists()


METHODS = "baseline[epochs=1],adu[epochs=1],adu-released[epochs=1],clipfit[epochs=1],lp-plus-plus"


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two seeds of methods on toy: alone, and in groups."""
    runs = plan(load_suite("toy"), Catalogue().select([METHODS]), seeds=[1, 2], limit=1).runs
    made = []
    for executor in (Here(), Fused(Here(), 2)):
        store = Store(tmp_path_factory.mktemp("runs"))
        results = list(executor.run([RunJob(run, store) for run in runs], lambda *step: None))
        assert [one.state for one in results] == ["done"] * len(runs)
        made.append(store)
    return runs, *made


def test_fused_runs_answer_as_single_runs_do(stores):
    runs, alone, together = stores
    assert len(runs) == 10
    for run in runs:
        one, other = alone.load(run.spec.key), together.load(run.spec.key)
        answers = one.predictions()["predicted"] == other.predictions()["predicted"]
        assert np.mean(answers) >= 0.99, run.title
        for name in ("trainable_parameters", "image_passes"):
            assert one.measured[name] == other.measured[name]


def test_prompt_methods_share_their_passes(stores, monkeypatch):
    runs, alone, _ = stores
    seen = []
    encode = turns.Turns._compute
    monkeypatch.setattr(turns.Turns, "_compute", lambda group: (seen.append(len(group._seats)), encode(group)))
    jobs = [RunJob(run, alone, force=True) for run in runs if run.label == "adu[epochs=1]"]
    assert [one.state for one in Fused(Here(), 2).run(jobs, lambda *step: None)] == ["done", "done"]
    assert set(seen) == {2}
    assert len(seen) > 5


def test_the_command_fuses_and_a_finished_run_is_left_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    select = ["run", "--suite", "toy", "--limit", "1", "--methods", "baseline[epochs=1]", "--fuse", "4", "--seeds"]
    assert main([*select, "1"]) == 0
    (first,) = Path("runs").glob("*/run.json")
    stamp = first.stat().st_mtime_ns
    assert main([*select, "3"]) == 0
    out = capsys.readouterr().out
    assert "1 finished, 2 to do" in out
    assert "[2/2] baseline[epochs=1], forget filled, seed 3" in out
    assert len(list(Path("runs").glob("*/run.json"))) == 3
    assert first.stat().st_mtime_ns == stamp
