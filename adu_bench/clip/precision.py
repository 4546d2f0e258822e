"""Numerical precision by name; it is set for each computation and never inherited from the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LOWERED = {"bf16": torch.bfloat16, "fp16": torch.float16}


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Set whether matrix products on a GPU use TF32 inside a ``with`` block; include backward passes in the block."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    _allow_tf32(precision == "tf32", precision == "tf32")
    try:
        yield
    finally:
        _allow_tf32(*before)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return a context for forward passes in ``bf16`` or ``fp16``; it does nothing for the other precisions."""
    kind = _LOWERED.get(precision)
    return torch.autocast(device.type, dtype=kind, enabled=kind is not None)


@contextmanager
def computing(device: torch.device, precision: str) -> Iterator[None]:
    """Run forward passes in a precision of `adu_bench.core.specs.PRECISIONS` inside a ``with`` block."""
    with products(precision), autocast(device, precision):
        yield


def make_deterministic(device: torch.device) -> None:
    """Select deterministic algorithms of cuDNN and cuBLAS and fixed attention kernels on a GPU.

    Operations without a deterministic algorithm give a warning.  Call this before the first use of a GPU; on a CPU it
    does nothing.
    """
    if device.type == "cpu":
        return
    _allow_tf32(False, False)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling new memory with NaN only helps to find bugs, and it takes time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # Attention: the memory-efficient kernel supports all precisions and masks; the math kernel is its fallback.
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(True)
    torch.backends.cuda.enable_math_sdp(True)


def described(device: torch.device) -> dict[str, str]:
    """Return the settings of this process that change rounding, for a run's record."""
    if device.type != "cuda":
        return {"threads": str(torch.get_num_threads())}
    kernels = {
        "flash": torch.backends.cuda.flash_sdp_enabled(),
        "memory-efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
        "math": torch.backends.cuda.math_sdp_enabled(),
    }
    return {
        "deterministic": str(torch.are_deterministic_algorithms_enabled()).lower(),
        "attention": ", ".join(name for name, enabled in kernels.items() if enabled),
    }


def _allow_tf32(products: bool, convolutions: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.allow_tf32 = convolutions
