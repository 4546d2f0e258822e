"""A run.json with fields of wrong types is refused, also where its digest was made to fit."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import save

from adu_bench.core.errors import UserError
from adu_bench.store import Store
from adu_bench.store.run import digest
from tests.conftest import make_spec, write_run


@pytest.mark.parametrize("name", ["label", "finished", "measured", "environment"])
@pytest.mark.parametrize("value", ["absent", None, 3, [1]])
def test_a_field_of_another_type_is_refused(tmp_path, name, value):
    key = write_run(tmp_path, make_spec())
    path = tmp_path / key / "run.json"
    info = json.loads(path.read_text())
    del info["digest"], info[name]
    if value != "absent":
        info[name] = value
    path.write_text(json.dumps(info | {"digest": digest(info)}))
    with pytest.raises(UserError, match="cannot be read"):
        Store(tmp_path).load(key)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 16,
        save({"other": np.zeros((2, 3), np.float16)}),
        save({"features": np.zeros((2, 3), np.float16), "rows": np.zeros(3, np.int64)}),
        save({"features": np.zeros(3, np.float16), "rows": np.zeros(3, np.int64)}),
        save({"features": np.zeros((2, 3), np.float16), "rows": np.zeros(2, np.float32)}),
    ],
)
def test_features_that_are_none_are_refused_also_where_their_checksum_fits(tmp_path, content):
    key = write_run(tmp_path, make_spec())
    path = tmp_path / key / "run.json"
    (tmp_path / key / "features.safetensors").write_bytes(content)
    info = json.loads(path.read_text())
    del info["digest"]
    info["checksums"]["features.safetensors"] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(info | {"digest": digest(info)}))
    with pytest.raises(UserError, match=r"features\.safetensors cannot be read"):
        Store(tmp_path).load(key).features()
