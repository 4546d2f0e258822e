"""A CLIP model in a folder (as ``emoji-clip``): ``config.json``, ``weights.safetensors`` and ``bpe.txt.gz``.

open_clip knows its models by name.  Other models have no name there, so their configuration and preprocessing are
files in the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file
from torch import Tensor

from adu_bench.clip.identity import SHIPPED_FOLDER, WEIGHTS, folder_config, unusable

VOCABULARY = "bpe.txt.gz"
"""The merges of CLIP's byte-pair vocabulary that the model uses.  Without this file, all of CLIP's merges are used."""


def tokenizer(folder: Path = SHIPPED_FOLDER) -> SimpleTokenizer:
    """Return the tokenizer: texts to int64 token ids (N, context length)."""
    length = folder_config(folder)["text_cfg"]["context_length"]
    path = folder / VOCABULARY
    return (
        SimpleTokenizer(bpe_path=str(path), context_length=length)
        if path.is_file()
        else SimpleTokenizer(context_length=length)
    )


def untrained(folder: Path = SHIPPED_FOLDER) -> open_clip.CLIP:
    """Build the model with random weights (drawn from torch's global generator)."""
    settings = folder_config(folder)
    text = settings["text_cfg"] | {"vocab_size": tokenizer(folder).vocab_size}
    return open_clip.CLIP(embed_dim=settings["embed_dim"], vision_cfg=settings["vision_cfg"], text_cfg=text)


def build(
    folder: Path = SHIPPED_FOLDER, weights: Path | None = None
) -> tuple[open_clip.CLIP, Callable[[list[str]], Tensor]]:
    """Build the model on the CPU, float32, in eval mode, with its tokenizer.

    Parameters
    ----------
    folder
        Folder of the model's files.
    weights
        Weights to use instead of the folder's.

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
        raise unusable(folder, f"{WEIGHTS}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    return model.eval(), tokenizer(folder)
