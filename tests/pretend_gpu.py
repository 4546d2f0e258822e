"""Tensors in CPU memory that report a GPU as their device, to check GPU code on machines without a GPU.

Inside `PretendGpu`, tensors that are created on or copied to ``cuda:0`` become `OnGpu`: they compute with the CPU's
kernels and raise an error when mixed with tensors on the CPU.  Operations that would make the CPU wait for a GPU are
counted.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CUDA = torch.device("cuda", 0)
READS = ("_local_scalar_dense", "nonzero", "_unique2", "unique_consecutive", "masked_select", "equal", "is_nonzero")
"""Operations whose result the CPU needs before it can continue."""
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")


class OnGpu(torch.Tensor):
    """A tensor that reports ``cuda:0`` as its device; ``raw`` is the same memory as an ordinary tensor."""

    raw: torch.Tensor
    waits: Counter[str] = Counter()
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: torch.Tensor, requires_grad: bool | None = None) -> OnGpu:
        wanted = raw.requires_grad if requires_grad is None else requires_grad
        made = torch.Tensor._make_subclass(cls, raw, wanted)
        made.raw = raw.detach()
        return made

    @property
    def device(self) -> torch.device:
        return CUDA

    @property
    def is_cuda(self) -> bool:
        return True

    @property
    def is_cpu(self) -> bool:
        return False

    def __deepcopy__(self, memo: dict) -> OnGpu:
        if id(self) not in memo:
            memo[id(self)] = OnGpu(self.raw.clone(), self.requires_grad)
        return memo[id(self)]

    def cpu(self, *_: Any) -> torch.Tensor:
        wait("copy to the CPU")
        return self.raw.clone()

    def to(self, *values: Any, **named: Any) -> torch.Tensor:
        device = named.pop("device", None)
        if values and isinstance(values[0], str | torch.device):
            # Modules pass (device, dtype or None, whether to wait).
            device, values = values[0], tuple(value for value in values[1:] if isinstance(value, torch.dtype))
        if device is not None and torch.device(device).type == "cpu":
            named.pop("non_blocking", None)
            return self.cpu().to(*values, **named)
        return super().to(*values, **named) if values or named.keys() - {"non_blocking"} else self

    def tolist(self) -> Any:
        wait("tolist")
        return self.raw.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("numpy() of a tensor on a GPU")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return run(func, args, kwargs or {})


def wait(what: str) -> None:
    """Count an operation that makes the CPU wait, with the project's line that calls it."""
    frames = traceback.extract_stack()
    lines = [frame for frame in frames if "/adu_bench/" in frame.filename or "/methods/" in frame.filename]
    place = f"{lines[-1].filename.rpartition('/')[2]}:{lines[-1].lineno}" if lines else "elsewhere"
    OnGpu.waits[f"{what}, {place}"] += 1


def run(func: Any, args: tuple, kwargs: dict) -> Any:
    """Run an operation with the CPU's kernels; its results are on the GPU if its inputs or its device are."""
    name = func.overloadpacket.__name__
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, OnGpu)]
    here = [tensor for tensor in tensors if not isinstance(tensor, OnGpu)]
    device = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    on_gpu = device.type == "cuda" if device is not None else bool(there)
    _count(name, args, kwargs, there, here, on_gpu)
    plain_args, plain_kwargs = tree_map(lambda value: value.raw if isinstance(value, OnGpu) else value, (args, kwargs))
    if device is not None:
        plain_kwargs["device"] = torch.device("cpu")
    plain_kwargs.pop("non_blocking", None)
    if name == "_to_copy" and on_gpu != bool(there):
        plain_kwargs.pop("device", None)
        result = args[0].raw if there else args[0]
        result = func(result, **plain_kwargs).clone()
    else:
        result = func(*plain_args, **plain_kwargs)
    known = {id(tensor.raw): tensor for tensor in there}

    def wrapped(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or isinstance(value, OnGpu) or not on_gpu:
            return value
        return known.get(id(value)) if id(value) in known else OnGpu(value)

    return tree_map(wrapped, result)


def _count(name: str, args: tuple, kwargs: dict, there: list, here: list, on_gpu: bool) -> None:
    if name in READS and there:
        wait(name)
    if name in INDEXING and there:
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            wait("index by a mask")
        if any(not isinstance(index, OnGpu) for index in indices):
            wait("index from the CPU")
    elif name in ("_to_copy", "copy_"):
        source = args[1] if name == "copy_" else args[0]
        target_there = isinstance(args[0], OnGpu) if name == "copy_" else on_gpu
        if isinstance(source, OnGpu) and not target_there:
            wait("copy to the CPU")
        elif target_there and not isinstance(source, OnGpu) and source.dim() and not kwargs.get("non_blocking"):
            wait("copy to the GPU")
    elif there and any(tensor.dim() for tensor in here):
        raise RuntimeError(f"{name} mixes tensors on the CPU and on a GPU")


def _one_hot(labels: torch.Tensor, count: int) -> torch.Tensor:
    """Compute torch's ``one_hot``, which asks for the memory's device rather than for the reported one."""
    return (labels[..., None] == torch.arange(count, device=labels.device)).long()


@contextmanager
def pretend_gpu() -> Iterator[Counter[str]]:
    """Pretend that there is a GPU; yields the counted waits."""
    real_autocast, before = torch.autocast, torch.__future__.get_overwrite_module_params_on_conversion()
    deterministic = torch.are_deterministic_algorithms_enabled()

    class Autocast(real_autocast):
        """Autocast for the GPU becomes autocast for the CPU."""

        def __init__(self, device_type: str, **options: Any) -> None:
            super().__init__("cpu", **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "autocast", Autocast)
        patch.setattr(torch.nn.functional, "one_hot", _one_hot)
        patch.setattr(torch.Tensor, "pin_memory", lambda tensor, *_: tensor)
        patch.setattr(torch.cuda, "synchronize", lambda *_: None)
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        OnGpu.waits.clear()
        try:
            with _Mode():
                yield OnGpu.waits
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(before)
            torch.use_deterministic_algorithms(deterministic)
