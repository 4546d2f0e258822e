from __future__ import annotations

import numpy as np
import pytest

from adu_bench.core.errors import UserError
from adu_bench.store import Store
from adu_bench.store.artefacts import Artefact, artefact_path, read_artefact, write_artefact
from tests.conftest import make_spec, write_run

KEY = "0123456789abcdef0123"
MADE = Artefact({"x": np.arange(6, dtype=np.float32).reshape(2, 3)}, {"images": ["a", "b"], "count": 2})


def test_an_artefact_comes_back_as_it_was_stored(tmp_path):
    path = write_artefact(tmp_path, KEY, "some", MADE)
    assert path == tmp_path / "artefacts" / KEY / "some.safetensors"
    found = read_artefact(tmp_path, KEY, "some")
    assert found is not None
    assert found.info == MADE.info
    assert (found.tensors["x"] == MADE.tensors["x"]).all()
    assert [child.name for child in path.parent.iterdir()] == ["some.safetensors"]


def test_the_same_content_gives_the_same_bytes(tmp_path):
    first = write_artefact(tmp_path, KEY, "some", MADE).read_bytes()
    assert write_artefact(tmp_path, KEY, "some", MADE).read_bytes() == first


def test_there_is_none_before_it_is_made(tmp_path):
    assert read_artefact(tmp_path, KEY, "some") is None


def test_what_was_changed_is_noticed(tmp_path):
    path = write_artefact(tmp_path, KEY, "some", MADE)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="is damaged"):
        read_artefact(tmp_path, KEY, "some")
    path.write_bytes(data[:40])
    with pytest.raises(UserError, match="is damaged"):
        read_artefact(tmp_path, KEY, "some")


def test_an_artefact_of_another_run_is_refused(tmp_path):
    path = write_artefact(tmp_path, KEY, "some", MADE)
    other = artefact_path(tmp_path, KEY[::-1], "some")
    other.parent.mkdir(parents=True)
    other.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="written for another run"):
        read_artefact(tmp_path, KEY[::-1], "some")


def test_a_store_does_not_count_artefacts_as_runs(tmp_path):
    key = write_run(tmp_path, make_spec())
    write_artefact(tmp_path, key, "some", MADE)
    assert Store(tmp_path).keys() == [key]
    assert [path.name for path in (tmp_path / key).iterdir() if path.name == "some.safetensors"] == []
