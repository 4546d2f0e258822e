from __future__ import annotations

import pytest
import torch

from adu_bench.clip.device import resolve_device
from adu_bench.core.errors import UserError


@pytest.fixture
def gpus(monkeypatch):
    """Return a function that pretends that there are N GPUs, and gives the list of those chosen."""

    def pretend(number):
        chosen = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
        monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
        return chosen

    return pretend


@pytest.mark.parametrize(
    ("device", "chosen"),
    [("cuda", [0, 1, 2, 3, 0]), ("auto", [0, 1, 2, 3, 0]), ("cuda:1", [1] * 5), ("cuda:3,1", [3, 1, 3, 1, 3])],
)
def test_workers_take_the_gpus_in_turn(device, chosen, gpus):
    taken = gpus(4)
    assert {resolve_device(device, place) for place in range(5)} == {"cuda"}
    assert taken == chosen


def test_the_cpu_takes_no_gpu(gpus):
    taken = gpus(2)
    assert resolve_device("cpu") == "cpu"
    gpus(0)
    assert resolve_device("auto", 3) == "cpu"
    assert taken == []


@pytest.mark.parametrize(
    ("number", "device", "what", "remedy"),
    [(0, "cuda:0", "no CUDA device here", "Leave --device out"), (2, "cuda:1,2", "no device cuda:2", "cuda:1,")],
)
def test_missing_gpus_are_named(number, device, what, remedy, gpus):
    gpus(number)
    with pytest.raises(UserError, match=what) as caught:
        resolve_device(device)
    assert remedy in str(caught.value)
