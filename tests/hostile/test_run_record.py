"""A run.json with fields of wrong types is refused, also where its digest was made to fit."""

from __future__ import annotations

import json

import pytest

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
