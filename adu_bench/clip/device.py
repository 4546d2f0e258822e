"""The device that computes."""

from __future__ import annotations

import torch

from adu_bench.core.errors import UserError


def resolve_device(device: str = "auto") -> str:
    """Return ``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    UserError
        If ``cuda`` is asked for and torch sees no CUDA device.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "There is no CUDA device here.",
            f"torch {torch.__version__} sees none; a driver or a CUDA build of torch may be missing.",
            "Leave --device out to use what there is.",
        )
    return device
