"""Files of weights that people have: safetensors, checkpoints of torch, and TorchScript archives as OpenAI gives them.

Tensors alone are read from them.  A pickle can run code, so that only names are accepted that stand for tensors.
"""

from __future__ import annotations

import math
import pickle
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from adu_bench.core.errors import UserError
from adu_bench.core.files import open_regular

_STARTS = {
    b"": "an empty file",
    b"<": "a web page; the address that it was fetched from leads to a page, not to the file",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself (git lfs pull)",
    b"\x1f\x8b": "a gzip file; unpack it first",
    b"\x89HDF": "an HDF5 file, as Keras writes it",
    b"GGUF": "a GGUF file",
    b"\x93NUMPY": "a NumPy array",
    b"Rar!": "a RAR archive; unpack it first",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
}
_INSIDE = ("state_dict", "model_state_dict", "model")
"""Where checkpoints of training have their weights."""
_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's archives hold beside the weights."""
_LARGEST_PICKLE = 100_000_000


@contextmanager
def loadable(path: Path, single: bool = False) -> Iterator[Path]:
    """Give a path that `open_clip.create_model` can load: the file itself, or a temporary safetensors file.

    Parameters
    ----------
    path
        The file.
    single
        Convert half-precision tensors to single precision, in which a CPU can resize positional embeddings.

    Raises
    ------
    UserError
        If the file is not one of weights; the message says what it is.
    """
    try:
        state = _in_single(_read(path, _kind(path))[0]) if single else _converted(path)
    except Exception as error:
        # A malformed file can make the readers raise anything.
        raise unreadable(path, _reason(error)) from error
    if state is None:
        yield path
        return
    tensors = {name: value.contiguous().clone() for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise unreadable(path, "It holds no tensors")
    with tempfile.TemporaryDirectory(prefix="adu-bench-weights-") as folder:
        temporary = Path(folder) / "weights.safetensors"
        save_file(tensors, temporary)
        yield temporary


def _converted(path: Path) -> Mapping[str, Any] | None:
    """Return the tensors of a file that open_clip cannot load itself; None if it can."""
    kind = _kind(path)
    if path.suffix == {"safetensors": ".safetensors", "numpy": ".npz"}.get(kind):
        return None
    state, inside = _read(path, kind)
    if kind in ("zip", "pickle") and inside in ("", "state_dict") and path.suffix != ".safetensors":
        return None
    return state


def _read(path: Path, kind: str) -> tuple[Mapping[str, Any], str]:
    """Return the tensors of a file of a kind, and under which name a checkpoint of training has them."""
    if kind == "numpy":
        raise ValueError("It is an archive of NumPy arrays, whose name must end with .npz")
    if kind == "safetensors":
        return load_file(path), ""
    if kind == "script":
        return _script_state(path), ""
    state = _checkpoint(path, mmap=kind == "zip")
    inside = next((name for name in _INSIDE if isinstance(state.get(name), Mapping)), "")
    return state[inside] if inside else state, inside


def _in_single(state: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        name: value.float() if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16) else value
        for name, value in state.items()
    }


def unreadable(path: Path, why: str) -> UserError:
    """Build the error for a file from which no weights can be read."""
    return UserError(
        f"The weights '{path}' could not be read.",
        f"{why}.",
        "Give a .safetensors file, a checkpoint that torch saved with tensors alone, or a TorchScript archive.",
    )


def misfit(error: Exception) -> str:
    """Say shortly why weights do not fit a model, from what torch says of missing, unknown and other-sized tensors."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("Missing", "Unexpected", "size mismatch"))] or lines[:1]
    found = []
    for line in told[:2]:
        head, _, names = line.partition(": ")
        listed = names.rstrip(". ").split(", ")
        if line.startswith("size") or len(listed) <= 3:
            found.append(line[:200].rstrip(". "))
        else:
            found.append(f"{head}: {', '.join(listed[:3])} and {len(listed) - 3} more")
    return "; ".join(found)


def _kind(path: Path) -> str:
    """Return ``safetensors``, ``numpy``, ``script``, ``zip`` (torch's form) or ``pickle`` (its old form)."""
    with open_regular(path) as file:
        start = file.read(32)
    if len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 2**30:
        return "safetensors"
    if start.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = {name.rpartition("/")[2] for name in archive.namelist()}
        except zipfile.BadZipFile as error:
            raise ValueError("It is cut off, or a damaged archive") from error
        if "constants.pkl" in names:
            return "script"
        if "data.pkl" in names:
            return "zip"
        if all(name.endswith(".npy") for name in names):
            return "numpy"
        raise ValueError("It is a zip archive without weights of torch")
    for known, meaning in _STARTS.items():
        if start.startswith(known) if known else not start:
            raise ValueError(f"It is {meaning}")
    if start[:1] == b"\x80":
        return "pickle"
    raise ValueError("Its format is not known")


def _checkpoint(path: Path, *, mmap: bool) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":  # torch and open_clip would follow the name, which is wrong here
            with path.open("rb") as file:
                found = torch.load(file, map_location="cpu", weights_only=True)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        # torch proposes to run whatever the file contains; this is never done.
        raise ValueError("It holds Python objects besides tensors, and reading these could run code") from error
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise ValueError("It does not hold tensors by name")
    return found


def _reason(error: Exception) -> str:
    said = (getattr(error, "strerror", None) or " ".join(str(error).split())[:200]).rstrip(".")
    return said if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {said}"


class _Object:
    """Stands for every module of a TorchScript archive; its attributes are what the archive says, and nothing runs."""

    def __init__(self, *_: Any) -> None:
        self.values: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.values = dict(state) if isinstance(state, Mapping) else {}


class _Tensors(pickle.Unpickler):
    """Reads the tensors of a TorchScript archive; names of anything else are refused."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self.archive, self.folder = archive, name.rpartition("/")[0]
        super().__init__(archive.open(name))

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Object
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
            return _rebuilt if name == "_rebuild_tensor_v2" else lambda tensor, *_: tensor
        if module == "torch" and name.endswith("Storage"):
            return name
        if module == "torch.jit._pickle":
            return lambda value, *_: value
        raise ValueError(f"It names {module}.{name}, which is not part of weights")

    def persistent_load(self, pid: Any) -> Tensor:
        kind, storage, key, _, count = pid
        dtype = {"Byte": torch.uint8, "BFloat16": torch.bfloat16}.get(storage.removesuffix("Storage")) or getattr(
            torch, storage.removesuffix("Storage").lower(), None
        )
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise ValueError(f"It has a storage of an unknown kind ({str(storage)[:40]})")
        content = self.archive.read(f"{self.folder}/data/{key}")
        if len(content) < count * dtype.itemsize:
            raise ValueError("It is cut off")
        return torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)


def _rebuilt(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    if math.prod(size) > storage.numel():
        raise ValueError("It has a tensor that is larger than its values")
    return storage.as_strided(tuple(size), tuple(stride), offset)


def _script_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a TorchScript archive by name, without loading its code."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size + _LARGEST_PICKLE:
            raise ValueError("It is compressed, which archives of weights are not")
        state = dict(_named(_Tensors(archive, name).load(), ""))
    return {name: value for name, value in state.items() if name not in _NOT_WEIGHTS}


def _named(module: Any, prefix: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    for name, value in module.values.items() if isinstance(module, _Object) and depth < 30 else ():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        else:
            yield from _named(value, f"{prefix}{name}.", depth + 1)
