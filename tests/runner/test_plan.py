from __future__ import annotations

from dataclasses import replace

import pytest

from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue
from adu_bench.runner.plan import plan, plan_study
from adu_bench.store import Store
from adu_bench.suites import load_suite


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue()


def test_ablations_run_on_their_block_only(catalogue):
    made = plan(load_suite("emoji"), catalogue.select(["adu", "adu-no-ddl"]))
    tasks = {
        label: {run.spec.task.forget for run in made.runs if run.label == label} for label in ("adu", "adu-no-ddl")
    }
    assert len(tasks["adu"]) == 14
    assert tasks["adu-no-ddl"] == {forget for forget in tasks["adu"] if len(forget) == 1}


def test_ablations_take_what_the_suite_sets_for_their_method(catalogue):
    suite = replace(load_suite("toy"), settings={"adu": {"lr": 0.5, "gamma": 7.0, "lam": 3.0}})
    made = plan(suite, catalogue.select(["adu-ce-only", "adu-released"]))
    fields = {run.label: dict(run.spec.method.fields) for run in made.runs}
    assert [fields["adu-ce-only"][name] for name in ("lr", "gamma", "lam")] == [0.5, 7.0, 0.0]
    # A preset of the paper is a method of its own and tuned by itself.
    assert [fields["adu-released"][name] for name in ("lr", "gamma", "lam")] == [2.5e-3, 30.0, 0.5]


def test_a_budget_for_one_method_leaves_others_alone(catalogue):
    suite = replace(load_suite("toy"), budget={"iterations": 9, "bbf": {"iterations": 5}})
    fields = {
        run.label: dict(run.spec.method.fields) for run in plan(suite, catalogue.select(["bbf", "lp-plus-plus"])).runs
    }
    assert (fields["bbf"]["iterations"], fields["lp-plus-plus"]["iterations"]) == (5, 9)


def test_planned_runs_say_what_the_budget_replaced(catalogue):
    (run,) = plan(load_suite("emoji-mini"), catalogue.select(["bbf"]), limit=1, seeds=[1]).runs
    changed = {field.name: (field.default, field.value) for field in run.changed if field.origin == "budget"}
    assert changed == {"iterations": (800, 40), "shared": (400, 100), "unique": (100, 25)}


@pytest.mark.parametrize(
    "study", ["ablation", "shots", "gamma-lambda", "depth", "layers", "wrong", "missing", "dropped"]
)
def test_the_papers_studies_are_planned(study, catalogue):
    suite = load_suite("emoji-mini")
    made = plan_study(suite, study, catalogue)
    assert len(made.points) == len({(point.method, point.variable, point.value) for point in made.points})
    assert {key for point in made.points for key in point.keys} == {run.spec.key for run in made.runs}
    assert all(len(point.keys) == len(suite.forget) * len(suite.seeds) for point in made.points)


def test_a_study_shares_runs_with_the_board(catalogue):
    suite = load_suite("emoji-mini")
    board = {run.spec.key for run in plan(suite, catalogue.select(["adu"])).runs}
    shots = plan_study(suite, "shots", catalogue)
    at_suite = next(point for point in shots.points if (point.method, point.value) == ("adu", suite.shots))
    assert set(at_suite.keys) == board


def test_the_variable_is_what_varies(catalogue):
    made = plan_study(load_suite("emoji-mini"), "layers", catalogue)
    by_key = {run.spec.key: dict(run.spec.method.fields) for run in made.runs}
    for point in made.points:
        assert {by_key[key]["instapg_block"] for key in point.keys} == {point.value}


def test_methods_of_a_noise_study_share_the_boards_runs_and_the_draws(catalogue):
    """Supervision and seed are all that a draw depends on, so these must agree between methods."""
    suite = load_suite("emoji-mini")
    board = {run.spec.key for run in plan(suite, catalogue.select(["adu"])).runs}
    made = plan_study(suite, "wrong", catalogue)
    specs = {run.spec.key: run.spec for run in made.runs}
    found = {(point.method, point.value): point.keys for point in made.points}
    assert set(found["adu", 0.0]) == board
    for value in (0.1, 1.0):
        draws = [
            [(specs[key].task, specs[key].seed, specs[key].supervision) for key in found[method, value]]
            for method in ("adu", "baseline", "domain-gate")
        ]
        assert draws[0] == draws[1] == draws[2]
        assert {supervision.wrong for _, _, supervision in draws[0]} == {value}


def test_runs_of_a_study_name_the_condition(catalogue):
    made = plan_study(load_suite("toy"), "missing", catalogue, limit=1)
    titles = {run.title for run in made.runs if run.label == "domain-gate"}
    assert titles == {
        f"domain-gate{condition}, forget filled, seed 1"
        for condition in ("", *(f", missing-{kind}={share}" for kind in ("kmeans", "words") for share in (0.5, 1.0)))
    }
    shots = plan_study(load_suite("emoji-mini"), "shots", catalogue, limit=1, seeds=[1])
    assert {run.name for run in shots.runs if run.label == "adu"} == {"adu", *(f"adu, shots={n}" for n in (1, 2, 8))}


def test_a_study_can_be_about_some_of_the_tasks(catalogue):
    suite = load_suite("emoji")
    assert {len(run.spec.task.forget) for run in plan_study(suite, "wrong", catalogue, seeds=[1]).runs} == {1}
    with pytest.raises(UserError, match="none of the chosen tasks") as caught:
        plan_study(suite.with_sizes([2]), "wrong", catalogue)
    assert "--sizes 1" in caught.value.remedy


def test_an_open_vocabulary_study_has_one_task_per_forget_set_and_split(catalogue):
    suite = load_suite("emoji-mini")
    made = plan_study(suite, "open-vocabulary", catalogue, seeds=[1])
    assert {point.variable for point in made.points} == {""}
    for point in made.points:
        own = [run.spec.task for run in made.runs if run.spec.key in point.keys]
        assert {(task.forget, task.classes) for task in own} == {
            (forget, suite.split(number).classes) for forget in suite.forget for number in range(2)
        }
        assert len({task.name for task in own}) == len(own) == 8


def test_an_unknown_study_names_those_there_are(catalogue):
    with pytest.raises(UserError, match="layers"):
        plan_study(load_suite("emoji-mini"), "layer", catalogue)


def test_a_plan_says_what_a_store_lacks(catalogue, tmp_path):
    made = plan(load_suite("toy"), catalogue.select(["collapse"]), limit=2)
    assert made.unfinished(Store(tmp_path)) == made.runs
    (tmp_path / made.runs[0].spec.key).mkdir()
    (tmp_path / made.runs[0].spec.key / "run.json").write_text("{}")
    assert made.unfinished(Store(tmp_path)) == made.runs[1:]
