from __future__ import annotations

import errno
import fcntl
import itertools
import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from adu_bench.core.errors import RunFailed, UserError
from adu_bench.store import Store
from tests.conftest import make_spec, write_run


def test_a_run_is_there_after_it_was_committed(tmp_path):
    spec = make_spec(lr=0.5)
    key = write_run(tmp_path, spec, "some[lr=0.5]")
    store = Store(tmp_path)
    run = store.load(key)
    assert (run.spec, run.label, store.keys()) == (spec, "some[lr=0.5]", [key])
    assert len(run.predictions()) == 60
    assert run.features()[0].shape == (60, 8)


def test_an_exception_leaves_nothing(tmp_path):
    store, key = Store(tmp_path), make_spec().key

    def break_off():
        with store.lock(key), store.begin(key) as folder:
            (folder / "predictions.parquet").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert not store.has(key)
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]


def _half_a_run(root, key, ready):
    store = Store(root)
    with store.lock(key), store.begin(key) as folder:
        (folder / "predictions.parquet").write_text("half")
        ready.set()
        time.sleep(60)


def test_kill_9_leaves_no_run_and_the_next_attempt_works(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, spec = context.Event(), make_spec()
    process = context.Process(target=_half_a_run, args=(tmp_path, spec.key, ready))
    process.start()
    assert ready.wait(30)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not Store(tmp_path).has(spec.key)
    assert Store(tmp_path).keys() == []
    write_run(tmp_path, spec)
    assert Store(tmp_path).has(spec.key)


def _replace_a_run(root, spec, at):
    """Make a run again, and die before that rename of a run with this number."""
    rename, count = Path.rename, itertools.count(1)

    def dying(path, target):
        if path.parent == root and next(count) == at:
            os._exit(9)
        return rename(path, target)

    Path.rename = dying
    write_run(root, spec, "new")
    os._exit(9)


@pytest.mark.parametrize(("at", "label"), [(1, "old"), (2, "old"), (3, "new")])
def test_a_kill_while_a_run_is_made_again_leaves_the_old_or_the_new_one_whole(at, label, tmp_path):
    spec, store = make_spec(), Store(tmp_path)
    write_run(tmp_path, spec, "old")
    process = multiprocessing.get_context("spawn").Process(target=_replace_a_run, args=(tmp_path, spec, at))
    process.start()
    process.join()
    assert process.exitcode == 9
    store.sweep()
    run = store.load(spec.key)
    assert run.label == label
    assert len(run.predictions()) == 60
    assert run.file("features.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".locks", spec.key]


def test_folders_of_dead_processes_are_swept_and_those_of_living_ones_stay(tmp_path):
    store, alive, dead = Store(tmp_path), make_spec(lr=0.1).key, make_spec(lr=0.2).key
    (tmp_path / f".tmp-{dead}").mkdir()
    with store.lock(alive), store.begin(alive) as folder:
        (folder / "run.json").write_text("{}")
        Store(tmp_path).sweep()
        assert folder.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".locks", alive]


def test_a_lock_is_held_by_one_process_only(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, key = context.Event(), make_spec().key
    process = context.Process(target=_half_a_run, args=(tmp_path, key, ready))
    process.start()
    assert ready.wait(30)
    with Store(tmp_path).lock(key) as ours:
        assert not ours
    process.kill()
    process.join()
    with Store(tmp_path).lock(key) as ours:
        assert ours


@pytest.mark.parametrize("name", ["predictions.parquet", "features.safetensors"])
def test_a_changed_file_is_reported_by_name(tmp_path, name):
    key = write_run(tmp_path, make_spec())
    path = tmp_path / key / name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    run = Store(tmp_path).load(key)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        run.predictions() if "predictions" in name else run.features()


@pytest.mark.parametrize("change", [{"seed": 9}, {"protocol": 0}])
def test_a_changed_spec_does_not_hash_to_its_key(tmp_path, change):
    key = write_run(tmp_path, make_spec())
    path = tmp_path / key / "run.json"
    info = json.loads(path.read_text())
    info["spec"] = replace(make_spec(), **change).to_dict()
    path.write_text(json.dumps(info))
    with pytest.raises(UserError, match="does not match its name"):
        Store(tmp_path).load(key)


@pytest.mark.parametrize("change", [{"label": "better"}, {"measured": {}}, {"checksums": {}}, {"digest": "0" * 20}])
def test_a_changed_run_json_is_noticed(tmp_path, change):
    store, key = Store(tmp_path), write_run(tmp_path, make_spec())
    assert store.damage(key) == ""
    path = tmp_path / key / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert "was changed after the run" in store.damage(key)


@pytest.mark.parametrize("name", ["run.json", "predictions.parquet", "features.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "bit"])
def test_damage_of_any_file_is_found(tmp_path, name, damage):
    store, key = Store(tmp_path), write_run(tmp_path, make_spec())
    path = tmp_path / key / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else content)
    assert store.damage(key)


def test_an_invalid_run_json_is_reported(tmp_path):
    key = write_run(tmp_path, make_spec())
    (tmp_path / key / "run.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        Store(tmp_path).load(key)


def test_failures_are_separate_and_deleted_after_success(tmp_path):
    store, spec = Store(tmp_path), make_spec()
    store.fail(spec, "some", "diverged", "The loss became nan.")
    assert not store.has(spec.key)
    assert store.keys() == []
    assert store.failure(spec.key)["reason"] == "The loss became nan."
    write_run(tmp_path, spec)
    assert store.failure(spec.key) is None


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--out"):
        Store(tmp_path / "file").require_writable()


def test_runs_are_locked_on_a_file_system_without_locks(tmp_path, monkeypatch):
    """NFS without its lock service answers ENOLCK to every call that locks a file."""

    def refuse(*given):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Store(tmp_path).lock("a") as ours, Store(tmp_path).lock("a") as theirs:
        assert (ours, theirs) == (True, False)


def _half_a_run_of_two(store, key):
    with store.begin(key) as folder:
        (folder / "run.json").write_text("{}")
        (holder,) = (store.root / ".locks" / key).iterdir()
        holder.rename(holder.with_name("f00d-1-1-other"))


def test_a_run_whose_lock_was_taken_over_is_not_stored(tmp_path):
    """A machine that stood still for minutes must not replace what another one made meanwhile."""
    store, spec = Store(tmp_path), make_spec()
    with store.lock(spec.key), pytest.raises(RunFailed, match="stood still"):
        _half_a_run_of_two(store, spec.key)
    assert not store.has(spec.key)
    assert os.listdir(tmp_path / ".locks" / spec.key) == ["f00d-1-1-other"]
