"""A CLIP in a folder: ``config.json``, ``weights.safetensors`` and ``bpe.txt.gz``; the shipped ``emoji-clip`` is one.

open_clip knows its models by name.  A model of one's own size has no name there, so its shape and its preprocessing
stand in its folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
from open_clip.model import set_model_preprocess_cfg
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file
from torch import Tensor

from adu_bench.clip.identity import CONFIG, SHIPPED_FOLDER, WEIGHTS
from adu_bench.core.errors import UserError

VOCABULARY = "bpe.txt.gz"
"""Merges of CLIP's byte-pair vocabulary; other words fall back to their bytes.  All of them where there is no file."""


def config(folder: Path = SHIPPED_FOLDER) -> dict:
    """Return the model's open_clip configuration and preprocessing.

    Raises
    ------
    UserError
        If the file cannot be read or lacks an entry.
    """
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        missing = [name for name in ("embed_dim", "vision_cfg", "text_cfg", "preprocess_cfg") if name not in found]
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(folder, f"{CONFIG} cannot be read ({type(error).__name__})") from error
    if missing:
        raise _unusable(folder, f"{CONFIG} lacks '{missing[0]}'")
    return found


def tokenizer(folder: Path = SHIPPED_FOLDER) -> SimpleTokenizer:
    """Return the tokenizer: texts to int64 token ids (N, context length)."""
    length = config(folder)["text_cfg"]["context_length"]
    path = folder / VOCABULARY
    return (
        SimpleTokenizer(bpe_path=str(path), context_length=length)
        if path.is_file()
        else SimpleTokenizer(context_length=length)
    )


def untrained(folder: Path = SHIPPED_FOLDER) -> open_clip.CLIP:
    """Build the model with random weights (drawn from torch's global generator)."""
    settings = config(folder)
    text = settings["text_cfg"] | {"vocab_size": tokenizer(folder).vocab_size}
    model = open_clip.CLIP(embed_dim=settings["embed_dim"], vision_cfg=settings["vision_cfg"], text_cfg=text)
    preprocess = settings["preprocess_cfg"]
    set_model_preprocess_cfg(model, preprocess | {"size": (preprocess["size"],) * 2, "mode": "RGB", "fill_color": 0})
    return model


def build(
    folder: Path = SHIPPED_FOLDER, weights: Path | None = None
) -> tuple[open_clip.CLIP, Callable[[list[str]], Tensor]]:
    """Build the model on the CPU, float32, in eval mode, with its tokenizer.

    Parameters
    ----------
    folder
        Where the model's files are.
    weights
        Other weights than those of the folder.

    Raises
    ------
    UserError
        If a file is damaged or does not fit the others.
    """
    model = untrained(folder)
    try:
        state = {name: value.to(torch.float32) for name, value in load_file(weights or folder / WEIGHTS).items()}
        model.load_state_dict(state, strict=True)
    except Exception as error:
        raise _unusable(folder, f"{WEIGHTS}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    return model.eval(), tokenizer(folder)


def _unusable(folder: Path, why: str) -> UserError:
    remedy = "Reinstall adu-bench." if folder == SHIPPED_FOLDER else "adu-bench pretrain writes such folders."
    return UserError(f"The model in '{folder}' could not be read.", f"{why}.", remedy)
