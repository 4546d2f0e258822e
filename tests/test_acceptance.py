"""The acceptance battery passes on a CPU, says what only a GPU can show, and fails where a device is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from adu_bench.acceptance import numbers
from adu_bench.acceptance.battery import CHECKS
from adu_bench.acceptance.lines import run_battery
from adu_bench.clip.tower import ImageTower


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_the_battery_passes_on_a_cpu(tmp_path):
    command = [sys.executable, "-m", "adu_bench", "bench", "--acceptance", "--device", "cpu", "--json", "found.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, env=dict(os.environ))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["device"] == "cpu"
    states = {line["name"]: line["state"] for line in found["lines"]}
    assert set(states.values()) == {"pass", "not measured"}
    assert all(line["found"] == "needs a GPU" for line in found["lines"] if line["state"] == "not measured")
    for name in ("two equal runs", "features", "images in chunks", "killed, and the run after", "every preset runs"):
        assert states[name] == "pass"
        assert f"pass          {name}:" in done.stdout
    assert "not measured  waits per step: needs a GPU" in done.stdout
    assert not any(tmp_path.glob("runs*"))


def test_wrong_features_and_runs_that_differ_fail(monkeypatch):
    encode = ImageTower.encode
    monkeypatch.setattr(ImageTower, "encode", lambda *given: encode(*given) + torch.randn(()))
    assert {line.name: line.state for line in run_battery([numbers.reference], "cpu")}["features"] == "fail"
    assert [line.state for line in run_battery([numbers.repeats], "cpu")] == ["fail"]


def test_a_check_that_raises_is_a_line_that_fails():
    def broken_check(setting):
        raise RuntimeError("first line\nsecond line")
        yield

    (line,) = run_battery([broken_check], "cpu")
    assert (line.name, line.state, line.found) == ("broken check", "fail", "RuntimeError: first line")
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS)
