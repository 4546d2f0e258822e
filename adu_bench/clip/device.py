"""The device that computes."""

from __future__ import annotations

import torch

from adu_bench.core.devices import parse_device
from adu_bench.core.errors import UserError


def resolve_device(device: str = "auto", place: int = 0) -> str:
    """Choose this process's device; a chosen GPU becomes torch's current one.

    Parameters
    ----------
    device
        See `adu_bench.core.devices.parse_device`.
    place
        Number of this process among those that share the devices, from 0; each takes the next GPU.

    Returns
    -------
    str
        ``cpu`` or ``cuda``.

    Raises
    ------
    UserError
        If there is no such device.
    """
    wanted = parse_device(device)
    there = torch.cuda.device_count() if wanted.kind != "cpu" and torch.cuda.is_available() else 0
    if wanted.kind == "cpu" or (wanted.kind == "auto" and not there):
        return "cpu"
    if not there:
        raise UserError(
            "There is no CUDA device here.",
            f"torch {torch.__version__} sees none; a driver or a CUDA build of torch may be missing.",
            "Leave --device out to use what there is.",
        )
    missing = [number for number in wanted.numbers if number >= there]
    if missing:
        raise UserError(
            f"There is no device cuda:{missing[0]} here.",
            f"torch sees {there} CUDA {'device' if there == 1 else 'devices'}, counted from 0.",
            f"Use --device cuda:{there - 1}, or --device cuda for all of them.",
        )
    numbers = wanted.numbers or tuple(range(there))
    torch.cuda.set_device(numbers[place % len(numbers)])
    return "cuda"
