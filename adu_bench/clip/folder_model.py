"""A CLIP model in a folder (as ``emoji-clip``): ``config.json``, ``weights.safetensors`` and ``bpe.txt.gz``.

open_clip knows its models by name.  Other models have no name there, so their configuration and preprocessing are
files in the folder.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from adu_bench.clip.identity import CONFIG, SHIPPED_FOLDER, WEIGHTS, folder_config, unusable
from adu_bench.core.errors import UserError

VOCABULARY = "bpe.txt.gz"
"""The merges of CLIP's byte-pair vocabulary that the model uses.  Without this file, all of CLIP's merges are used."""

LARGEST_VOCABULARY = 16_000_000
"""Bound in bytes of the unpacked vocabulary; CLIP's own has 3.2 MB."""


def tokenizer(folder: Path = SHIPPED_FOLDER) -> SimpleTokenizer:
    """Return the tokenizer: texts to int64 token ids (N, context length)."""
    length = folder_config(folder)["text_cfg"]["context_length"]
    path = folder / VOCABULARY
    if not path.is_file():
        return SimpleTokenizer(context_length=length)
    try:
        with gzip.open(path) as file:
            if len(file.read(LARGEST_VOCABULARY + 1)) > LARGEST_VOCABULARY:
                raise ValueError(f"it has more than {LARGEST_VOCABULARY:,} bytes")
        return SimpleTokenizer(bpe_path=str(path), context_length=length)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise unusable(folder, f"{VOCABULARY}: {type(error).__name__}: {str(error)[:200]}") from error


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
    path = weights or folder / WEIGHTS
    try:
        _require_fit(folder, path)
        model = untrained(folder)
        state = {name: value.to(torch.float32) for name, value in load_file(path).items()}
        model.load_state_dict(state, strict=True)
    except UserError:
        raise
    except Exception as error:
        raise unusable(folder, f"{WEIGHTS}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    return model.eval(), tokenizer(folder)


def _require_fit(folder: Path, weights: Path) -> None:
    """Compare the configured model with the header of the weights, before either takes memory."""
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in untrained(folder).state_dict().items()}
    with safe_open(weights, framework="pt") as file:
        stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    wrong = sorted(name for name in {*wanted, *stored} if wanted.get(name) != stored.get(name))
    if wrong:
        what = (
            "lacks"
            if wrong[0] not in stored
            else "has an unknown"
            if wrong[0] not in wanted
            else "has another shape of"
        )
        raise unusable(folder, f"{weights.name} {what} '{wrong[0]}' ({len(wrong)} tensors do not fit {CONFIG})")
