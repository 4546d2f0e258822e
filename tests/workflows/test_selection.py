"""What a notebook calls in place of the command line."""

from __future__ import annotations

import numpy as np
import pytest

from adu_bench.cli.main import main
from adu_bench.core.errors import UserError
from adu_bench.core.specs import BackboneSpec
from adu_bench.registry import Catalogue
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite
from adu_bench.workflows.listing import budget_lines
from adu_bench.workflows.run import execute_runs, local_executor, require_device
from adu_bench.workflows.selection import Selection
from tests.conftest import make_predictions, write_run


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
    ("entries", "complaint"),
    [
        ("budget: {epocs: 3}", "no field in the suite's budget called 'epocs'.*Did you mean epochs"),
        ("budget: {aduu: {epochs: 3}}", "no method in the suite's budget called 'aduu'.*Did you mean adu"),
        ("budget: {epochs: -5}", "In the suite's budget write epochs: 50"),
        ("budget: {epochs: 0}", "In the suite's budget write epochs: 50"),
        ("budget: {adu: {crop: 5}}", "In the suite's budget write adu: {crop: 0.08}"),
        ("budget: {lr: .nan}", "'nan' is not a valid value for the field 'lr'"),
        # The settings of methods that do not run are checked as well.
        ("settings: {baseline: {lr: 0}}", "of --settings, write baseline: {lr: 0.0025}"),
        ("settings: {baseline: {rl: 1}}", "Did you mean lr"),
    ],
)
def test_a_suites_impossible_values_are_refused(tmp_path, entries, complaint):
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: toy\n{entries}\n")
    with pytest.raises(UserError, match=complaint):
        Selection(str(path), methods="adu").plan()


@pytest.mark.parametrize("entries", ["epochs: -4", "adu: {crop: 5}", "lr: many"])
def test_a_budget_that_no_method_can_have_is_refused_whichever_methods_run(tmp_path, entries):
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: toy\nbudget: {{{entries}}}\n")
    with pytest.raises(UserError, match="In the suite's budget write"):
        Selection(str(path), methods="zero-shot").plan()


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Finished runs of a backbone whose weights are not here, of a suite that names another one, without a network."""

    def absent(*arguments):
        raise UserError("The weights are not on this machine.", "None.", "None.")

    monkeypatch.setattr("adu_bench.clip.weights._Memory.described", absent)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("extends: toy\nbackbone: ViT-B-16-quickgelu:openai\nseeds: [1]\n")

    def write(name):
        suite, known = load_suite("mine.yaml"), Catalogue().select(["collapse"])
        rng = np.random.default_rng(0)
        for run in plan(suite, known, weights=BackboneSpec(name, "w" * 20), limit=1).runs:
            labels = np.arange(120) % len(suite.classes)
            domains = [suite.domains[i % len(suite.domains)] for i in range(120)]
            answers = rng.dirichlet(np.ones(len(suite.classes)), 120)
            write_run(
                tmp_path / "runs", run.spec, run.label, make_predictions(answers, labels, domains, run.spec.task.forget)
            )

    return write


def test_results_are_read_without_weights_and_without_a_network(copied, capsys):
    copied("ViT-B-32:laion2b_s34b_b79k")
    quick = ["--suite", "mine.yaml", "--methods", "collapse", "--limit", "1"]
    for command in (["status"], ["score"], ["leaderboard", "--runs", "runs"]):
        for backbone in ([], ["--backbone", "ViT-B-32:laion2b_s34b_b79k"]):
            arguments = [*command, *quick, *backbone]
            if command == ["leaderboard"]:
                arguments = [argument for argument in arguments if argument not in ("--limit", "1")]
            assert main(arguments) == 0, capsys.readouterr().err
            assert "collapse" in capsys.readouterr().out
    assert main(["status", *quick]) == 0
    assert "collapse: 1 finished" in capsys.readouterr().out
    # The command lines in messages are for the backbone of the runs, too.
    assert main(["compare", "collapse", "coin", "--suite", "mine.yaml", "--limit", "1", "--runs", "runs"]) == 2
    assert "--methods coin --backbone ViT-B-32:laion2b_s34b_b79k" in capsys.readouterr().err
    copied("another-model")
    assert main(["status", *quick]) == 2
    assert "several backbones: ViT-B-32:laion2b_s34b_b79k, another-model" in capsys.readouterr().err
    assert main(["status", *quick, "--backbone", "another-model"]) == 0
    assert "collapse: 1 finished" in capsys.readouterr().out
    copied("ViT-B-16-quickgelu:openai")
    assert main(["status", *quick]) == 0
    assert main(["status", *quick, "--backbone", "RN50:openai"]) == 2


def test_planning_does_not_fetch_weights(copied, monkeypatch, capsys):
    asked = []

    def described(memory, name, parsed, fetch=False):
        asked.append(fetch)
        raise UserError("The weights are not on this machine.", "None.", "None.")

    monkeypatch.setattr("adu_bench.clip.weights._Memory.described", described)
    for command in (["run", "--dry"], ["status"], ["leaderboard", "--methods", "collapse", "--runs", "."]):
        assert main([*command, "--suite", "mine.yaml"]) == 2
    assert set(asked) == {False}
    assert main(["run", "--suite", "mine.yaml", "--methods", "collapse"]) == 2
    assert main(["tune", "lp-plus-plus", "--suite", "mine.yaml"]) == 2
    assert asked[-2:] == [True, True]
    assert "The weights" in capsys.readouterr().err


def test_missing_images_are_told_before_weights_are_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("ADU_BENCH_DATA", str(tmp_path))
    fetched = []
    monkeypatch.setattr("adu_bench.clip.pretrained.locate", lambda *arguments, **options: fetched.append(1))
    with pytest.raises(UserError, match="'officehome' is not prepared"):
        Selection("officehome", methods="zero-shot").plan(fetch=True)
    assert not fetched


def test_impossible_settings_and_seeds_are_refused(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("adu: {epochs: -5}\n")
    with pytest.raises(UserError, match="Allowed values: int, >= 1"):
        Selection("toy", methods="baseline", settings=str(path)).plan()
    with pytest.raises(UserError, match="not valid seeds"):
        Selection("toy", methods="collapse", seeds=(1, 1)).plan()


def test_the_budget_is_stated_by_methods_with_the_same_values():
    runs = Selection("emoji-mini", limit=1).plan().runs
    lines = budget_lines({run.label: run.changed for run in runs})
    assert lines == [
        "epochs 16 (default 50), crop 0.5 (default 0.08) for adu, adu-released, baseline, clipfit, prompt-tuning, "
        "gate-prompt-tuning",
        "iterations 40 (default 800), shared 100 (default 400), unique 25 (default 100) for bbf",
        "crop 0.5 (default 0.08) for lp-plus-plus",
    ]
    (line,) = budget_lines(
        {run.label: run.changed for run in Selection("emoji-mini", study="gamma-lambda", limit=1).plan().runs}
    )
    assert line == "epochs 16 (default 50), crop 0.5 (default 0.08) for adu"
    assert budget_lines({"adu": ()}) == []


def test_a_negative_limit_is_refused():
    with pytest.raises(UserError, match="below zero"):
        Selection("toy", limit=-1).plan()


def test_a_study_can_be_run_with_other_methods():
    plan = Selection("toy", study="wrong", methods="collapse,coin[steps=2]", limit=1).plan()
    assert {run.name for run in plan.runs} == {
        f"{method}{share}" for method in ("collapse", "coin[steps=2]") for share in ("", ", wrong=0.5", ", wrong=1.0")
    }


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


def test_a_limit_is_per_run_of_a_group_and_must_be_a_time():
    executor = local_executor("cpu", jobs=2, fuse=3, timeout=10)
    assert (executor.size, executor.inner.workers, executor.inner.timeout) == (3, 2, 30)
    assert local_executor("cpu", timeout=0).inner.timeout is None
    for timeout in (-1, float("nan"), float("inf")):
        with pytest.raises(UserError, match="is not a time"):
            local_executor("cpu", timeout=timeout)
