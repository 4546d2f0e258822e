"""Which weights a backbone name stands for, found without importing torch, so that planning stays quick."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from adu_bench.core.errors import UserError
from adu_bench.core.hashing import digest, file_sha256
from adu_bench.core.paths import RESOURCES, cache_dir
from adu_bench.core.specs import BackboneSpec

SHIPPED = "emoji-clip"
SHIPPED_FOLDER = RESOURCES / "emoji_clip"
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
SHIPPED_WEIGHTS = SHIPPED_FOLDER / WEIGHTS
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class BackboneName:
    """A backbone as the user names it: ``emoji-clip``, ``MODEL:TAG``, ``MODEL:TAG=FILE``, ``MODEL:FILE`` or a folder.

    Parameters
    ----------
    model
        Model name of open_clip, ``emoji-clip``, or the name of the folder.
    tag
        Tag of open_clip's pretrained weights, which also says how pictures are prepared; empty without one.
    file
        A local weights file, in place of the hub's; None to look the tag up there.
    folder
        Where the model's own configuration and weights are; None for open_clip's models.
    """

    model: str
    tag: str = ""
    file: Path | None = None
    folder: Path | None = None

    @property
    def local_file(self) -> Path | None:
        """The local weights file that the name points at, if it does."""
        return self.folder / WEIGHTS if self.folder is not None else self.file

    @property
    def portable(self) -> str:
        """The name without this machine's folders: two users with the same file get the same key."""
        if self.folder is not None:
            return self.model
        return f"{self.model}:{self.tag or (self.file.name if self.file else '')}"


def parse_backbone(name: str) -> BackboneName:
    """Split a backbone's name.

    Raises
    ------
    UserError
        If the name has no weights part, or if open_clip's `ViT-*:openai` is named without QuickGELU, with which
        OpenAI's weights were trained.
    """
    if name == SHIPPED:
        return BackboneName(SHIPPED, folder=SHIPPED_FOLDER)
    folder = Path(name).expanduser()
    if (folder / CONFIG).is_file():
        return BackboneName(folder.resolve().name, folder=folder)
    model, _, pretrained = name.partition(":")
    if not model or not pretrained:
        raise UserError(
            f"'{name}' is not a backbone.",
            "A backbone is 'emoji-clip', 'MODEL:TAG', 'MODEL:TAG=FILE' or 'MODEL:FILE' with a model name of open_clip, "
            f"or a folder with {CONFIG} and {WEIGHTS}.",
            "For example: --backbone ViT-B-16-quickgelu:openai",
        )
    tag, _, file = pretrained.partition("=")
    if not file and pretrained.endswith(WEIGHT_SUFFIXES):
        tag, file = "", pretrained
    if tag == "openai" and not model.endswith("-quickgelu") and model.startswith("ViT"):
        raise UserError(
            f"'{name}' would compute wrong features.",
            "OpenAI's weights were trained with QuickGELU, and this model name uses GELU.",
            f"Use --backbone {model}-quickgelu:{pretrained}",
        )
    return BackboneName(model, tag, Path(file).expanduser() if file else None)


def backbone_spec(name: str) -> BackboneSpec:
    """Identify a backbone by name and weights.

    The weights' hash is the SHA-256 of the file (first 20 digits).  A large file is hashed once; the hash is kept
    with the file's size and time.  Weights named by a tag live in a hub's cache whose layout only open_clip knows,
    so they are located through it once, and the location is remembered.

    Raises
    ------
    UserError
        If the file does not exist or the tag's weights cannot be found.
    """
    parsed = parse_backbone(name)
    memory = _Memory(cache_dir() / "backbones.json")
    path = parsed.local_file
    if path is None:
        known = memory.location(name)
        if known is None:
            from adu_bench.clip.backbone import locate_pretrained  # imports torch; needed once for a new tag

            known = locate_pretrained(parsed)
            memory.remember_location(name, known)
        path = known
    if not path.is_file():
        raise UserError(
            f"There is no weights file '{path}'.",
            f"The backbone '{name}' names it.",
            "Give the path of an existing .safetensors or .pt file, or --backbone emoji-clip for the shipped model.",
        )
    weights = memory.file_hash(path)
    if parsed.folder not in (None, SHIPPED_FOLDER):
        # The folder says how pictures are prepared, which changes the features as other weights would.
        weights = digest([weights, file_sha256(parsed.folder / CONFIG)])
    return BackboneSpec(name=parsed.portable, weights_hash=weights)


class _Memory:
    """Hashes and places of weights files, remembered between calls; losing the file only costs time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            value = json.loads(path.read_text())
        except (OSError, ValueError):
            value = {}
        self.value: dict[str, dict[str, str]] = value if isinstance(value, dict) else {}

    def location(self, name: str) -> Path | None:
        known = self.value.get("locations", {}).get(name)
        return Path(known) if known and Path(known).is_file() else None

    def remember_location(self, name: str, path: Path) -> None:
        self._put("locations", name, str(path))

    def file_hash(self, path: Path) -> str:
        status = path.stat()
        identity = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        known = self.value.get("hashes", {}).get(identity)
        if known is None:
            known = file_sha256(path)[:20]
            self._put("hashes", identity, known)
        return known

    def _put(self, table: str, name: str, value: str) -> None:
        self.value.setdefault(table, {})[name] = value
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_suffix(".tmp")
            temporary.write_text(json.dumps(self.value, indent=1))
            temporary.replace(self.path)
        except OSError:
            pass  # A read-only cache folder costs a second hashing, not the run.
