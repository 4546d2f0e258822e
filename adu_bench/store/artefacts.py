"""What is computed from a finished run later: one safetensors file each, beside the runs and never inside them.

``<root>/artefacts/<key>/<name>.safetensors`` appears by one rename and carries a digest of its tensors, so what exists
is complete, and what was changed is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adu_bench.core.errors import UserError

FORMAT = 1
FOLDER = "artefacts"


@dataclass(frozen=True)
class Artefact:
    """Tensors computed from a run, and what they are.

    Parameters
    ----------
    tensors
        Arrays by name.
    info
        Plain JSON values that describe them.
    """

    tensors: Mapping[str, np.ndarray]
    info: Mapping[str, Any]


def artefact_path(root: Path, key: str, name: str) -> Path:
    """Return where an artefact of a run is, or would be."""
    return Path(root) / FOLDER / key / f"{name}.safetensors"


def write_artefact(root: Path, key: str, name: str, artefact: Artefact) -> Path:
    """Store an artefact of a run in place of an earlier one.

    Parameters
    ----------
    root
        Folder of the runs.
    key
        The run's key.
    name
        Kind of the artefact, for example ``attention``.
    artefact
        What to store.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    from safetensors.numpy import save_file

    path = artefact_path(root, key, name)
    header = {"format": FORMAT, "key": key, "digest": _digest(artefact.tensors), **artefact.info}
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: np.ascontiguousarray(value) for name, value in artefact.tensors.items()}
        save_file(tensors, temporary, metadata={"adu_bench": json.dumps(header, sort_keys=True)})
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"The artefact '{path}' cannot be written.",
            f"{error.strerror or error}.",
            "Choose a folder of runs that you may write to.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_artefact(root: Path, key: str, name: str) -> Artefact | None:
    """Return an artefact of a run, or None where there is none.

    Raises
    ------
    UserError
        If it is damaged or belongs to another run.
    """
    from safetensors import safe_open

    path = artefact_path(root, key, name)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads(file.metadata()["adu_bench"])
            tensors = {tensor: file.get_tensor(tensor) for tensor in file.keys()}  # noqa: SIM118 - not a mapping
        whole = header["format"] == FORMAT and header["key"] == key and header["digest"] == _digest(tensors)
    except Exception as error:
        raise _damaged(path, f"Reading it gave {type(error).__name__}.") from error
    if not whole:
        raise _damaged(path, "Its content is not what was written for this run.")
    return Artefact(tensors, {name: value for name, value in header.items() if name not in ("format", "key", "digest")})


def _digest(tensors: Mapping[str, np.ndarray]) -> str:
    hasher = hashlib.sha256()
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        hasher.update(f"{name} {value.dtype} {value.shape}\n".encode())
        hasher.update(value.tobytes())
    return hasher.hexdigest()


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"The artefact '{path}' is damaged.", why, f"Delete it and make it again: rm '{path}'")
