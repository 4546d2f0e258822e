from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from adu_bench.core.errors import UserError
from adu_bench.store import Store, index, signature
from adu_bench.store.index import FILE
from tests.conftest import forge_run, make_spec, write_run


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Index runs however young they are."""
    monkeypatch.setattr(signature, "SETTLED", 0)


@pytest.fixture
def loaded(monkeypatch):
    """The keys of the runs whose run.json was read, in order."""
    keys = []
    load = Store.load
    monkeypatch.setattr(Store, "load", lambda store, key: keys.append(key) or load(store, key))
    return keys


def _write_three(root):
    specs = [make_spec(lr=0.1), make_spec(lr=1), make_spec(lr=1.0, seed=2, forget=("a",))]
    return [write_run(root, spec, f"run {place}") for place, spec in enumerate(specs)]


def _described(runs):
    return [(run.path, run.key, run.spec, run.spec.key, run.label, run.measured, run.finished) for run in runs]


def _truth(root):
    """Describe the runs as their directories say."""
    store = Store(root)
    return _described([store.load(name) for name in store.keys()])  # noqa: SIM118 - not a mapping


def test_runs_of_the_index_are_those_of_the_directories(tmp_path, loaded):
    keys = _write_three(tmp_path)
    first = Store(tmp_path).runs()
    assert sorted(loaded) == sorted(keys)
    again = Store(tmp_path).runs()
    assert sorted(loaded) == sorted(keys), "the second time no run.json is read"
    assert _described(first) == _described(again) == _truth(tmp_path)
    assert [run.spec.method.fields for run in again] == [
        Store(tmp_path).load(run.key).spec.method.fields for run in again
    ]
    assert len(again[0].predictions()) == 60
    assert again[0].environment == {"python": "3"}


def test_only_what_changed_is_read_again(tmp_path, loaded):
    one, two, three = _write_three(tmp_path)
    Store(tmp_path).runs()
    shutil.rmtree(tmp_path / one)
    write_run(tmp_path, make_spec(lr=1), "made again")
    forge_run(tmp_path / three, label="other")
    four = write_run(tmp_path, make_spec(lr=0.2))
    loaded.clear()
    found = Store(tmp_path).runs()
    assert sorted(loaded) == sorted([two, three, four])
    assert _described(found) == _truth(tmp_path)
    loaded.clear()
    assert _described(Store(tmp_path).runs()) == _described(found)
    assert loaded == []


def test_a_run_that_was_damaged_after_it_was_indexed_is_refused(tmp_path):
    one, two, _ = _write_three(tmp_path)
    Store(tmp_path).runs()
    path = tmp_path / two / "run.json"
    path.write_text(path.read_text().replace("run 1", "run 9"))
    with pytest.raises(UserError, match="does not match its name"):
        Store(tmp_path).runs()
    path.unlink()
    assert two not in [run.key for run in Store(tmp_path).runs()]
    (tmp_path / one / "predictions.parquet").write_bytes(b"")
    run = next(run for run in Store(tmp_path).runs() if run.key == one)
    with pytest.raises(UserError, match=r"predictions\.parquet"):
        run.predictions()


def test_what_was_read_before_a_damaged_run_is_kept(tmp_path, loaded):
    first, *_, last = sorted(_write_three(tmp_path))
    (tmp_path / last / "run.json").write_text("{")
    for _ in range(2):
        with pytest.raises(UserError, match="cannot be read"):
            Store(tmp_path).runs()
    assert loaded.count(first) == 1


@pytest.mark.parametrize("damage", ["empty", "half", "first", "footer", "text", "other"])
def test_a_damaged_index_is_made_again(tmp_path, loaded, damage):
    _write_three(tmp_path)
    Store(tmp_path).runs()
    path = tmp_path / FILE
    content = bytearray(path.read_bytes())
    first, footer = (content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :] for place in (0, -400))
    whole = {"empty": b"", "half": content[: len(content) // 2], "text": b"x" * 500}
    changed = whole | {"first": first, "footer": footer}
    if damage == "other":
        write_run(tmp_path, make_spec(lr=9))
        shutil.copy(next(tmp_path.glob("*/predictions.parquet")), path)
    else:
        path.write_bytes(changed[damage])
    loaded.clear()
    assert _described(Store(tmp_path).runs()) == _truth(tmp_path)
    loaded.clear()
    Store(tmp_path).runs()
    assert loaded == []


def test_runs_with_equal_tasks_share_one_and_equal_is_not_enough(tmp_path):
    write_run(tmp_path, make_spec(lr=1))
    write_run(tmp_path, make_spec(lr=1.0))
    for runs in (Store(tmp_path).runs(), Store(tmp_path).runs()):
        assert runs[0].spec.task is runs[1].spec.task
        assert all(run.spec.key == run.path.name and replace(run.spec).key == run.path.name for run in runs)


def test_a_folder_that_cannot_be_written_does_without(tmp_path, monkeypatch):
    _write_three(tmp_path)

    def refuse(path, body):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(index, "write_sealed", refuse)
    assert _described(Store(tmp_path).runs()) == _truth(tmp_path)
    assert not (tmp_path / FILE).exists()


def test_a_run_that_changed_a_moment_ago_is_not_indexed(tmp_path, monkeypatch, loaded):
    """Within the resolution of a file system's clock another change of it might not show."""
    monkeypatch.setattr(signature, "SETTLED", 3600 * 10**9)
    keys = _write_three(tmp_path)
    Store(tmp_path).runs()
    Store(tmp_path).runs()
    assert sorted(loaded) == sorted(2 * keys)


def test_runs_by_key_leave_the_others_in_the_index(tmp_path, loaded):
    one, two, three = _write_three(tmp_path)
    Store(tmp_path).runs()
    loaded.clear()
    assert [run.key for run in Store(tmp_path).runs([two, "0" * 20])] == [two]
    assert [run.label for run in Store(tmp_path).runs([three, one])] == ["run 2", "run 0"]
    assert loaded == []
