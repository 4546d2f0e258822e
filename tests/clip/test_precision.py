"""Precision is set by name for each computation, and the process's settings are restored."""

from __future__ import annotations

import pytest
import torch

from adu_bench.clip.precision import autocast, computing, described, make_deterministic, products
from adu_bench.core.specs import PRECISIONS

CPU = torch.device("cpu")


def tf32() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_use_tf32_only_where_it_is_named(precision, before):
    kept = tf32()
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = before
        with products(precision):
            assert tf32() == (precision == "tf32",) * 2
        assert tf32() == (before, before)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_forward_passes_have_the_named_precision(precision, dtype):
    with computing(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    with autocast(CPU, precision):
        assert torch.is_autocast_enabled("cpu") == (dtype != torch.float32)
    assert not torch.is_autocast_enabled("cpu")


def test_a_cpu_needs_no_settings_and_a_record_says_what_it_has():
    make_deterministic(CPU)
    assert not torch.are_deterministic_algorithms_enabled()
    assert described(CPU) == {"threads": str(torch.get_num_threads())}


def test_a_gpu_gets_deterministic_algorithms_and_named_attention(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *values, **named: asked.append((values, named)))
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: bool(asked))
    kept = torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.cudnn_sdp_enabled(), *tf32()
    try:
        make_deterministic(torch.device("cuda"))
        assert asked == [((True,), {"warn_only": True})]
        assert tf32() == (False, False)
        found = described(torch.device("cuda"))
        assert found == {"deterministic": "true", "attention": "memory-efficient, math"}
    finally:
        torch.backends.cuda.enable_flash_sdp(kept[0])
        torch.backends.cuda.enable_cudnn_sdp(kept[1])
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept[2:]
