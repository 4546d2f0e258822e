"""Names of backbones, and the configuration of a model in a folder; this module does not import torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adu_bench.core.errors import UserError
from adu_bench.core.files import read_text
from adu_bench.core.paths import RESOURCES

SHIPPED = "emoji-clip"
SHIPPED_FOLDER = RESOURCES / "emoji_clip"
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
SHIPPED_WEIGHTS = SHIPPED_FOLDER / WEIGHTS
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pth.tar", ".npz")


@dataclass(frozen=True)
class BackboneName:
    """The name of a backbone: ``emoji-clip``, ``MODEL:TAG``, ``MODEL:TAG=FILE``, ``MODEL:FILE`` or a folder.

    Parameters
    ----------
    model
        Model name of open_clip, ``emoji-clip``, or the name of the folder.
    tag
        Tag of open_clip's pretrained weights, which also determines the preprocessing; empty without one.
    file
        A local weights file that replaces the one of the hub; None to use the hub.
    folder
        Folder with the model's configuration and weights; None for open_clip's models.
    """

    model: str
    tag: str = ""
    file: Path | None = None
    folder: Path | None = None

    @property
    def local_file(self) -> Path | None:
        """The local weights file of the name; None if it has none."""
        return self.folder / WEIGHTS if self.folder is not None else self.file

    @property
    def portable(self) -> str:
        """The name without folders, so that two users with the same file get the same key."""
        if self.folder is not None:
            return self.model
        return f"{self.model}:{self.tag or (self.file.name if self.file else '')}"


def parse_backbone(name: str) -> BackboneName:
    """Split a backbone's name.

    Raises
    ------
    UserError
        If the name has no weights part.
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
            "For example: --backbone emoji-clip, or --backbone ViT-B-16-quickgelu:openai",
        )
    tag, _, file = pretrained.partition("=")
    # Tags of open_clip have neither a dot nor a slash, and may be names of files all the same.
    if not file and ("/" in pretrained or pretrained.endswith(WEIGHT_SUFFIXES) or _is_other_file(pretrained)):
        tag, file = "", pretrained
    return BackboneName(model, tag, Path(file).expanduser() if file else None)


def _is_other_file(name: str) -> bool:
    return "." in name and Path(name).is_file()


def folder_config(folder: Path = SHIPPED_FOLDER) -> dict[str, Any]:
    """Return the open_clip configuration and the preprocessing of a model in a folder.

    Raises
    ------
    UserError
        If the file cannot be read or lacks an entry.
    """
    try:
        found = json.loads(read_text(folder / CONFIG))
        missing = [name for name in ("embed_dim", "vision_cfg", "text_cfg", "preprocess_cfg") if name not in found]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise unusable(folder, f"{CONFIG} cannot be read ({type(error).__name__})") from error
    if missing:
        raise unusable(folder, f"{CONFIG} lacks '{missing[0]}'")
    for part in ("vision_cfg", "text_cfg", "preprocess_cfg"):
        if not isinstance(found[part], dict):
            raise unusable(folder, f"'{part}' in {CONFIG} is not a mapping")
        # Models of other libraries would be fetched from a network.
        if elsewhere := [name for name in found[part] if name.startswith(("timm_", "hf_"))]:
            raise unusable(folder, f"'{elsewhere[0]}' in {CONFIG} names a model of another library")
        if huge := [name for name, value in found[part].items() if _is(value, int) and value > _bound(name)]:
            raise unusable(folder, f"'{huge[0]}' in {CONFIG} is larger than {_bound(huge[0]):,}")
    lacking = {"size", "interpolation", "resize_mode", "mean", "std"} - set(found["preprocess_cfg"])
    if lacking or "context_length" not in found["text_cfg"]:
        raise unusable(folder, f"{CONFIG} lacks '{min(lacking, default='context_length')}'")
    images = found["preprocess_cfg"]
    for name, kind, count in (("size", int, 0), ("mean", float, 3), ("std", float, 3)):
        values = images[name] if count else [images[name]]
        if not isinstance(values, list) or len(values) != (count or 1) or not all(_is(value, kind) for value in values):
            raise unusable(folder, f"'{name}' in {CONFIG} is malformed")
    return found


def _bound(name: str) -> int:
    """Return the largest number of a kind in a configuration: a model is laid out before its weights are compared."""
    return 1000 if name == "layers" else 1_000_000


def _is(value: Any, kind: type) -> bool:
    return not isinstance(value, bool) and isinstance(value, int if kind is int else int | float)


def unusable(folder: Path, why: str) -> UserError:
    """Build the error for a model folder that is damaged or incomplete."""
    remedy = "Reinstall adu-bench." if folder == SHIPPED_FOLDER else "Create it again with adu-bench pretrain."
    return UserError(f"The model in '{folder}' could not be read.", f"{why}.", remedy)
