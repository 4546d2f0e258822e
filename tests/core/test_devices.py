from __future__ import annotations

import pytest

from adu_bench.core.devices import Devices, parse_device
from adu_bench.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("auto", Devices("auto")),
        ("cpu", Devices("cpu")),
        ("cuda", Devices("cuda")),
        ("cuda:1", Devices("cuda", (1,))),
        ("cuda:2,0", Devices("cuda", (2, 0))),
    ],
)
def test_devices_are_read(text, devices):
    assert parse_device(text) == devices


@pytest.mark.parametrize("text", ["", "tpu", "CUDA", "cpu:0", "cuda:", "cuda:-1", "cuda:0,", "cuda:0\n", "cuda:²"])
def test_other_texts_are_refused(text):
    with pytest.raises(UserError, match="There is no device"):
        parse_device(text)


@pytest.mark.parametrize("text", ["mps", "xpu", "mps:0"])
def test_unsupported_devices_are_refused_by_name(text):
    with pytest.raises(UserError, match=f"'{text}' is not supported"):
        parse_device(text)


def test_a_gpu_named_twice_is_refused_with_a_remedy():
    with pytest.raises(UserError, match="Use --device cuda:1,0;"):
        parse_device("cuda:1,0,1")
