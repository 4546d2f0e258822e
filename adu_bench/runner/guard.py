"""The backbone that all runs of a process share stays as it was loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from adu_bench.clip.backbone import Backbone
from adu_bench.core.errors import RunFailed
from adu_bench.runner.task_data import load_shared_backbone


@contextmanager
def unchanged(backbone: Backbone) -> Iterator[None]:
    """Let a method work with a shared backbone.

    A method that writes to the weights would change the numbers of every later run of the process.

    Raises
    ------
    RunFailed
        If a weight changed; the next run loads the backbone anew.
    """
    before = _totals(backbone)
    try:
        yield
    finally:
        changed = [name for name, total in _totals(backbone).items() if total != before[name]]
        if changed:
            load_shared_backbone.cache_clear()
    if changed:
        raise RunFailed(
            f"The method changed the weight '{changed[0]}' of the backbone that all runs share. "
            "Use classifier.unfreeze, which copies a weight first."
        )


@torch.inference_mode()
def _totals(backbone: Backbone) -> dict[str, int]:
    """Return by tensor of the model the sum of its bits as integers, which no order of addition can change."""
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    state = backbone.model.state_dict()
    sums = [value.contiguous().view(kinds[value.element_size()]).sum(dtype=torch.int64) for value in state.values()]
    return dict(zip(state, torch.stack(sums).tolist(), strict=True))
