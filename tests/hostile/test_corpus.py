"""Every hostile input is refused in three sentences, soon, within little memory, and nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="this system cannot limit the memory of a process")
HERE = Path(__file__).parents[2]


def test_every_hostile_input_is_refused(tmp_path):
    command = [sys.executable, "-W", "ignore", "-m", "tests.hostile.attack", str(tmp_path)]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) >= 200
    assert len({each["input"] for each in found}) == len(found)
    wrong = [each for each in found if each["outcome"] != "refused"]
    assert not wrong
    for each in found:
        what, why, remedy = each["sentences"]
        assert all(sentence and "\n" not in sentence for sentence in (what, why, remedy)), each
        assert max(map(len, (what, why, remedy))) < 1500, each
        assert each["seconds"] < 15, each
        assert not each["written"], each
        assert "weights_only" not in why + remedy, each
