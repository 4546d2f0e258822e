"""Trackers follow a run without a network, and one that fails does not end the run."""

import sys
import warnings
from types import SimpleNamespace

import pytest

from adu_bench.core.errors import UserError
from adu_bench.runner import tracking
from adu_bench.runner.tracking import require_tracker, tracked
from tests.leaderboard.test_board import planned

VALUES = [{"epoch": 1.0, "kept": 4.0}, {"epoch": 2.0, "kept": 3.0}]


def run_of(seed=1):
    return planned("adu", "paper", seeds=(seed,))[0]


def stand_in(**failing):
    """Return a package with the functions of wandb and Trackio that are used, and the list of what it is told."""
    told = []

    def init(**settings):
        if failing.get("init"):
            raise RuntimeError("no account")
        told.append(("init", settings))

        def log(values, step):
            if failing.get("log"):
                raise ConnectionError("the server is gone")
            told.append(("log", settings["name"], values, step))

        return SimpleNamespace(log=log, finish=lambda: told.append(("finish", settings["name"])))

    return SimpleNamespace(init=init), told


@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_runs_that_train_together_are_followed_apart(tracker, tmp_path, monkeypatch):
    package, told = stand_in()
    monkeypatch.setitem(sys.modules, tracker, package)
    first, second = run_of(1), run_of(2)
    with tracked(tracker, first, tmp_path) as one, tracked(tracker, second, tmp_path) as other:
        one(VALUES[0])
        other(VALUES[1])
        one(VALUES[1])
    settings = [each[1] for each in told if each[0] == "init"]
    assert [(each["project"], each["name"], each["config"]["seed"]) for each in settings] == [
        ("adu-bench", first.title, 1),
        ("adu-bench", second.title, 2),
    ]
    assert settings[0]["config"]["key"] == first.spec.key
    assert [each[1:] for each in told if each[0] == "log"] == [
        (first.title, VALUES[0], 1),
        (second.title, VALUES[1], 1),
        (first.title, VALUES[1], 2),
    ]
    assert [each[1] for each in told if each[0] == "finish"] == [second.title, first.title]


@pytest.mark.parametrize(("part", "reason"), [("init", "no account"), ("log", "the server is gone")])
def test_a_tracker_that_fails_is_left_out_and_said_once(part, reason, tmp_path, monkeypatch):
    package, told = stand_in(**{part: True})
    monkeypatch.setitem(sys.modules, "wandb", package)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with tracked("wandb", run_of(), tmp_path) as send:
            for values in VALUES:
                send(values)
    assert [reason in str(one.message) for one in said] == [True]
    assert not [each for each in told if each[0] != "init"]


def test_without_a_tracker_nothing_is_sent(tmp_path):
    with tracked("", run_of(), tmp_path) as send:
        send(VALUES[0])
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_or_missing_tracker_is_named_with_its_remedy(monkeypatch):
    require_tracker("")
    with pytest.raises(UserError, match="Did you mean wandb"):
        require_tracker("wandbb")
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "adu-bench\[trackio\]"'):
        require_tracker("trackio")


def test_tensorboard_reads_what_was_sent(tmp_path):
    pytest.importorskip("tensorboard", reason='tensorboard is not installed: pip install "adu-bench[tensorboard]"')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_of()
    with tracked("tensorboard", run, tmp_path) as send:
        for values in VALUES:
            send(values)
    (folder,) = (tmp_path / "tensorboard").iterdir()
    assert run.spec.key[:6] in folder.name
    events = EventAccumulator(str(folder)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("kept")] == [(1, 4.0), (2, 3.0)]
