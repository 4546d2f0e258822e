"""Memory of forward passes that keep intermediate values for a backward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a GPU or in torch's allocator for the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def in_chunks(encode: Callable[..., Tensor], size: int, *rows: Tensor) -> Tensor:
    """Compute ``encode(*rows)`` in chunks of rows, of which only one keeps its intermediate values at a time.

    Each chunk is computed once for its result, and again in the backward pass, which is when its intermediate values
    are needed (Chen et al. 2016, *Training Deep Nets with Sublinear Memory Cost*).  Without gradients, and if all rows
    fit into one chunk, this is a plain call.

    Parameters
    ----------
    encode
        Treats each row alike: the result for a row depends on no other row, up to rounding.
    size
        Rows of a chunk, at least 1.
    rows
        Tensors with the same number of rows, (N, ...).

    Returns
    -------
    Tensor
        (N, ...).
    """
    if len(rows[0]) <= size or not torch.is_grad_enabled():
        return encode(*rows)
    parts = zip(*(tensor.split(size) for tensor in rows), strict=True)
    return torch.cat([checkpoint(encode, *part, use_reentrant=False) for part in parts])
