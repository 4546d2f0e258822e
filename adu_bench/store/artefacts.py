"""Artefacts: tensors computed from a finished run later, one safetensors file each, stored outside the run directory.

``<root>/artefacts/<key>/<name>.safetensors`` is created by one rename, so an existing file is complete.  It contains a
digest of its tensors, so that changes are detected.
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
from adu_bench.core.files import replacing

FORMAT = 1
FOLDER = "artefacts"


@dataclass(frozen=True)
class Artefact:
    """Tensors computed from a run, and their description.

    Parameters
    ----------
    tensors
        Arrays by name.
    info
        JSON values that describe them.
    """

    tensors: Mapping[str, np.ndarray]
    info: Mapping[str, Any]


def artefact_path(root: Path, key: str, name: str) -> Path:
    """Return the path of an artefact of a run; it need not exist."""
    return Path(root) / FOLDER / key / f"{name}.safetensors"


def with_artefacts(root: Path) -> set[str]:
    """Return the keys of the runs that may have artefacts; of all others nothing has to be looked up."""
    try:
        return set(os.listdir(Path(root) / FOLDER))
    except OSError:
        return set()


def write_artefact(root: Path, key: str, name: str, artefact: Artefact) -> Path:
    """Store an artefact of a run; it replaces an earlier one.

    Parameters
    ----------
    root
        The folder with the runs.
    key
        The run's key.
    name
        The kind of artefact, for example ``attention``.
    artefact
        The tensors and their description.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    from safetensors.numpy import save_file

    path = artefact_path(root, key, name)
    header = {"format": FORMAT, "key": key, "digest": _digest(artefact.tensors), **artefact.info}
    tensors = {name: np.ascontiguousarray(value) for name, value in artefact.tensors.items()}
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"adu_bench": json.dumps(header, sort_keys=True)})
    except OSError as error:
        raise UserError(
            f"The artefact '{path}' cannot be written.",
            f"{error.strerror or error}.",
            "Choose a writable folder with --runs.",
        ) from error
    return path


def receive_artefacts(root: Path, key: str, other: Path) -> None:
    """Copy the artefacts of a run from another folder of runs; they replace earlier ones."""
    for path in sorted((Path(other) / FOLDER / key).glob("*.safetensors")):
        with replacing(artefact_path(root, key, path.stem)) as temporary:
            temporary.write_bytes(path.read_bytes())


def read_artefact(root: Path, key: str, name: str) -> Artefact | None:
    """Return an artefact of a run, or None if there is none.

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
        raise _damaged(path, "It was changed, or written for another run.")
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
