"""Process images in batches that fit into the device's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from adu_bench.clip.memory import is_out_of_memory
from adu_bench.core.errors import RunFailed

EVALUATION_BATCH = {"cpu": 128, "cuda": 1024}
"""Images per forward pass, if they fit."""

Result = TypeVar("Result")

_fitting: dict[str, int] = {}
"""The reduced batch size by device, after a larger batch did not fit."""


def in_batches(count: int, batch: int, device: torch.device, work: Callable[[slice], Result]) -> Iterator[Result]:
    """Yield ``work(part)`` for consecutive parts of ``count`` images.

    If the device is out of memory, the part is halved and tried again, and the process keeps the smaller size.

    Raises
    ------
    RunFailed
        If a single image does not fit.
    """
    start = 0
    while start < count:
        stop = min(count, start + min(batch, _fitting.get(str(device), batch)))
        try:
            result = work(slice(start, stop))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if stop - start == 1:
                raise RunFailed(f"Not even one image fits into the memory of '{device}' at a time.") from error
            _fitting[str(device)] = (stop - start) // 2
        else:
            yield result
            start = stop
            continue
        # The failed part's tensors can be freed only here, after the frames that held them.
        if device.type == "cuda":
            torch.cuda.empty_cache()
