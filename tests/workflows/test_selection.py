"""What a notebook calls in place of the command line."""

from __future__ import annotations

import pytest

from adu_bench.core.errors import UserError
from adu_bench.store import Store
from adu_bench.workflows.run import execute_runs, require_device
from adu_bench.workflows.selection import Selection


def test_a_selection_plans_what_it_names():
    plan = Selection("toy", methods="collapse,zero-shot", seeds=(3, 5), limit=1).plan()
    assert {(run.label, run.spec.seed) for run in plan.runs} == {
        (label, seed) for label in ("collapse", "zero-shot") for seed in (3, 5)
    }
    assert len(Selection("toy", methods="collapse", sizes=(1, 3)).plan().runs) == 8


def test_settings_replace_the_suites_and_unknown_presets_are_refused(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("adu: {lr: 0.5}\n")
    (run, *_) = Selection("toy", methods="adu", settings=str(path)).plan().runs
    assert dict(run.spec.method.fields)["lr"] == 0.5
    path.write_text("aduu: {lr: 0.5}\n")
    with pytest.raises(UserError, match="Did you mean adu"):
        Selection("toy", settings=str(path)).plan()


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [({"limit": -1}, "below zero"), ({"study": "shots", "methods": "adu"}, "exclude each other")],
)
def test_contradictions_are_refused(choice, complaint):
    with pytest.raises(UserError, match=complaint):
        Selection("toy", **choice).plan()


class Recorder:
    """An executor that runs nothing: all that a further kind of executor needs is this method."""

    def __init__(self):
        self.jobs = []

    def run(self, jobs, progress):
        self.jobs += jobs
        yield from ()


def test_runs_go_to_the_given_executor(tmp_path):
    runs = Selection("toy", methods="collapse", limit=2).plan().runs
    executor = Recorder()
    assert list(execute_runs(runs, Store(tmp_path), executor, force=True)) == []
    assert [(job.planned, job.force) for job in executor.jobs] == [(run, True) for run in runs]


def test_an_unknown_device_is_refused():
    with pytest.raises(UserError, match="no device 'tpu'"):
        require_device("tpu")
