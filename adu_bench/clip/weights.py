"""The location and the hash of a backbone's weights, and its preprocessing, without importing torch in this process.

Only open_clip knows where a tag's weights are and how they were trained.  A short-lived process asks it once
per name, and the result is stored in the cache folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from adu_bench.clip.identity import (
    CONFIG,
    SHIPPED_FOLDER,
    BackboneName,
    folder_config,
    parse_backbone,
)
from adu_bench.core.child import in_child
from adu_bench.core.errors import UserError
from adu_bench.core.files import SMALL, read_bytes, write_text
from adu_bench.core.hashing import digest, file_sha256
from adu_bench.core.paths import cache_dir
from adu_bench.core.specs import BackboneSpec
from adu_bench.data.cache import tell_made_again
from adu_bench.data.preprocessing import Preprocessing


def backbone_spec(name: str, *, fetch: bool = False) -> BackboneSpec:
    """Identify a backbone by name and weights.

    The weights' hash is the SHA-256 of the file (first 20 digits).  A file is hashed once; the hash is stored with
    the file's size and modification time.

    Parameters
    ----------
    name
        The backbone.
    fetch
        Whether weights that are not on this machine may be fetched: planning and reading results need no network.

    Raises
    ------
    UserError
        If the file does not exist, open_clip does not know the model or its tag, or the weights are not on this machine
        and not fetched.
    """
    parsed, memory = parse_backbone(name), _Memory(cache_dir() / "backbones.json")
    path = parsed.local_file
    if path is not None and not path.is_file():
        raise UserError(
            f"There is no weights file '{path}'.",
            f"The backbone '{name}' refers to it.",
            "Give the path of an existing file of weights, or --backbone emoji-clip for the shipped model.",
        )
    if parsed.folder is None:
        path = Path(memory.described(name, parsed, fetch)["path"])
    assert path is not None
    weights = memory.file_hash(path)
    if parsed.folder not in (None, SHIPPED_FOLDER):
        # The folder's configuration sets the preprocessing, which changes the features just as the weights do.
        weights = digest([weights, file_sha256(parsed.folder / CONFIG)])
    return BackboneSpec(name=parsed.portable, weights_hash=weights)


def preprocessing_of(name: str) -> Preprocessing:
    """Return how images are resized for a backbone.

    Raises
    ------
    UserError
        As `backbone_spec`, and if the backbone's images are not square.
    """
    parsed, memory = parse_backbone(name), _Memory(cache_dir() / "backbones.json")
    if parsed.folder is not None:
        return preprocessing_from(folder_config(parsed.folder)["preprocess_cfg"])
    return preprocessing_from(memory.described(name, parsed)["images"])


def preprocessing_from(settings: Mapping[str, Any]) -> Preprocessing:
    """Return the resizing among a model's image settings (``size``, ``interpolation``, ``resize_mode``)."""
    return Preprocessing(
        size=settings["size"], interpolation=settings["interpolation"], resize_mode=settings["resize_mode"]
    )


class _Memory:
    """Stored facts about weights files and open_clip's models; without the file they are computed again.

    The file holds a digest of its content, since another hash of the weights would name other runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.value: dict[str, dict[str, Any]] = {}
        with suppress(OSError):
            self.value = _intact(path)

    def described(self, name: str, parsed: BackboneName, fetch: bool = False) -> dict[str, Any]:
        """Return what `adu_bench.clip.pretrained.describe` says of a name of an open_clip model."""
        identity = f"{name}|open_clip {_open_clip_version()}"
        known = self.value.get("models", {}).get(identity)
        if known is None or not Path(known["path"]).is_file():
            function = "adu_bench.clip.pretrained:describe"
            if "torch" in sys.modules:
                from adu_bench.clip.pretrained import describe  # this process has already imported torch

                known = describe(parsed, fetch)
            else:
                known = in_child(function, parsed, fetch)
            self._put("models", identity, known)
        return known

    def file_hash(self, path: Path) -> str:
        """Return the first 20 digits of a file's SHA-256."""
        status = path.stat()
        identity = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        known = self.value.get("hashes", {}).get(identity)
        if known is None:
            known = file_sha256(path)[:20]
            self._put("hashes", identity, known)
        return known

    def _put(self, table: str, name: str, value: Any) -> None:
        self.value.setdefault(table, {})[name] = value
        with suppress(OSError):  # with a read-only cache folder the file is hashed again next time
            write_text(self.path, json.dumps({"digest": digest(self.value), **self.value}, indent=1))


def _intact(path: Path) -> dict[str, dict[str, Any]]:
    """Return what a file of facts holds; nothing where it is damaged."""
    content = read_bytes(path, SMALL)
    with suppress(ValueError, AttributeError, RecursionError):
        value = json.loads(content)
        if value.pop("digest", "") == digest(value):
            return value
    tell_made_again(f"'{path}'")
    return {}


def _open_clip_version() -> str:
    try:
        return version("open_clip_torch")
    except PackageNotFoundError:
        return "unknown"
