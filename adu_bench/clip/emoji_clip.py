"""The small CLIP that ships with the project: 48-pixel ViT, trained on drawings by ``adu_bench.clip.pretrain``."""

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

from adu_bench.clip.identity import SHIPPED_WEIGHTS
from adu_bench.core.errors import UserError
from adu_bench.core.paths import RESOURCES

FOLDER = RESOURCES / "emoji_clip"
VOCABULARY = FOLDER / "bpe.txt.gz"
"""The merges of CLIP's byte-pair vocabulary that common object names use; other words fall back to their bytes."""


def config() -> dict:
    """Return the model's open_clip configuration and preprocessing."""
    return json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))


def tokenizer() -> SimpleTokenizer:
    """Return the tokenizer: texts to int64 token ids (N, context length)."""
    return SimpleTokenizer(bpe_path=str(VOCABULARY), context_length=config()["text_cfg"]["context_length"])


def untrained() -> open_clip.CLIP:
    """Build the model with random weights (drawn from torch's global generator)."""
    settings = config()
    text = settings["text_cfg"] | {"vocab_size": tokenizer().vocab_size}
    model = open_clip.CLIP(embed_dim=settings["embed_dim"], vision_cfg=settings["vision_cfg"], text_cfg=text)
    preprocess = settings["preprocess_cfg"]
    set_model_preprocess_cfg(model, preprocess | {"size": (preprocess["size"],) * 2, "mode": "RGB", "fill_color": 0})
    return model


def build(weights: Path = SHIPPED_WEIGHTS) -> tuple[open_clip.CLIP, Callable[[list[str]], Tensor]]:
    """Build the shipped model on the CPU, float32, in eval mode, with its tokenizer.

    Raises
    ------
    UserError
        If the weights are damaged.
    """
    model = untrained()
    try:
        state = {name: value.to(torch.float32) for name, value in load_file(weights).items()}
        model.load_state_dict(state, strict=True)
    except Exception as error:
        raise UserError(
            f"The weights '{weights}' could not be read.",
            f"{type(error).__name__}: {str(error).splitlines()[0]}.",
            "Reinstall adu-bench.",
        ) from error
    return model.eval(), tokenizer()
