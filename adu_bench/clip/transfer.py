"""Asynchronous copies from the CPU to a device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def upload(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Copy values to a device; on a GPU from pinned memory and without waiting for the copy.

    Parameters
    ----------
    values
        Of any shape and dtype, on the CPU; they must not be changed afterwards.
    device
        The target device.

    Returns
    -------
    Tensor
        The same shape and dtype; on a CPU it may share memory with ``values``.
    """
    host = torch.from_numpy(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values
    if device.type == "cuda":
        host = host.pin_memory()
    return host.to(device, non_blocking=True)


def upload_images(pixels: np.ndarray, device: torch.device) -> Tensor:
    """Copy images (N, H, W, 3) to a device as (N, 3, H, W), a view with the channels innermost in memory."""
    return upload(pixels, device).permute(0, 3, 1, 2)
