"""Oracles are audited like unlearned classifiers, and compared with the untouched model of the suite."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from safetensors.torch import save_file

from adu_bench.audits.catalogue import find_audits
from adu_bench.clip import folder_model
from adu_bench.clip.identity import SHIPPED_FOLDER, WEIGHTS
from adu_bench.clip.loading import load_backbone
from adu_bench.core.errors import UserError
from adu_bench.leaderboard.measurements import read_oracle
from adu_bench.maintenance.oracle import add, main, measure
from adu_bench.registry import Catalogue
from adu_bench.runner.execute import execute
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite

ENTRIES = [find_audits()[name] for name in ("part-off", "class-probe", "prototypes")]
COLUMNS = ["method", "task", "seed", "audit", "metric", "value", "n", "code"]


@pytest.fixture(scope="module")
def zero_shot(tmp_path_factory):
    """A finished zero-shot run on toy, and its folder."""
    store = Store(tmp_path_factory.mktemp("runs"))
    planned = plan(load_suite("toy"), Catalogue().select(["zero-shot"]), seeds=[1], limit=1, backbone="emoji-clip")
    (run,) = planned.runs
    execute(run, store, device="cpu")
    return run, store


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """The folder of a model that never saw anything, in the shape of the shipped one."""
    folder = tmp_path_factory.mktemp("model") / "untrained"
    shutil.copytree(SHIPPED_FOLDER, folder)
    weights = {name: value.contiguous() for name, value in folder_model.untrained().state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    return folder


def values(zero_shot, model):
    rows = pd.DataFrame(measure(*zero_shot, load_backbone(model), "oracle", ENTRIES), columns=COLUMNS)
    return rows.set_index(["audit", "metric"])["value"]


def test_the_suites_own_model_recovers_everything(zero_shot):
    found = values(zero_shot, "emoji-clip")
    for audit in ("part-off", "class-probe", "prototypes"):
        assert found[audit, "recovery"] == pytest.approx(1), audit


def test_a_model_that_never_saw_anything_recovers_less_and_its_features_are_its_own(zero_shot, untrained):
    found = values(zero_shot, str(untrained))
    assert found["part-off", "recovery"] < 0.3
    assert found["prototypes", "recovery"] < 0.9
    assert found["class-probe", "last_block_recovery"] < 0.9
    assert found["class-probe", "cka_retain"] < 0.9


def test_new_measurements_replace_those_of_the_same_oracle_task_seed_and_audit():
    old = pd.DataFrame([("oracle", "a", 1, "x", "recovery", 0.5, 9, "c")], columns=COLUMNS)
    other = old.assign(method="oracle-artist", value=0.7)
    found = add(add(old, other), old.assign(value=0.6))
    assert found[["method", "value"]].to_numpy().tolist() == [["oracle", 0.6], ["oracle-artist", 0.7]]
    assert add(old.iloc[:0], old).to_dict("records") == old.to_dict("records")


def test_an_unknown_task_is_refused_before_anything_is_computed(zero_shot, untrained, tmp_path):
    _, store = zero_shot
    arguments = [
        "--suite",
        "toy",
        "--model",
        str(untrained),
        "--runs",
        str(store.root),
        "--leaderboards",
        str(tmp_path),
    ]
    with pytest.raises(UserError, match="toy has no task nonsense"):
        main([*arguments, "--tasks", "nonsense"])
    assert read_oracle(tmp_path, "toy").empty
