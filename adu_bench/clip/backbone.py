"""A frozen CLIP model with its tokenizer and its preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from adu_bench.clip.tower import Hooks, ImageTower, TextTower
from adu_bench.core.specs import BackboneSpec
from adu_bench.data.preprocessing import Preprocessing


@dataclass(frozen=True)
class Backbone:
    """A CLIP model with frozen weights.

    Parameters
    ----------
    spec
        The model's name and the hash of its weights.
    model
        The open_clip model in eval mode; no parameter requires a gradient.
    tokenizer
        Maps a list of N texts to token ids, int64, (N, context length).  An optional second argument replaces the
        model's context length.
    preprocessing
        How images are resized before they reach the model.
    mean, std
        Channel means and standard deviations that normalise images in 0..1, float32, (3, 1, 1).
    device
        Device of the model's weights.
    """

    spec: BackboneSpec
    model: Any
    tokenizer: Callable[..., Tensor]
    preprocessing: Preprocessing
    mean: Tensor
    std: Tensor
    device: torch.device

    @property
    def text_tower(self) -> Any:
        """The module that holds ``token_embedding`` and the text transformer."""
        return getattr(self.model, "text", self.model)

    @property
    def logit_scale(self) -> Tensor:
        """The factor from cosine similarity to logits, a scalar."""
        return self.model.logit_scale.detach().exp()

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images (N, 3, S, S), uint8 or floating in 0..1, for the model (float, same shape)."""
        if images.dtype == torch.uint8:
            images = images.to(torch.float32) / 255
        return (images - self.mean) / self.std

    @torch.no_grad()
    def image_features(self, images: Tensor) -> Tensor:
        """Encode images (N, 3, S, S) to unit-length features (N, D), float32, without gradients."""
        return unit(encode_image(self.model, self.normalise(images)))

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Encode N texts to unit-length features (N, D), float32, without gradients."""
        return unit(encode_text(self.model, self.tokenizer(list(texts)), self.device))


def encode_image(model: Any, images: Tensor, parts: Sequence[Hooks] = ()) -> Tensor:
    """Encode normalised images (N, 3, S, S) with a model and a classifier's parts: (N, D), not of unit length."""
    return (
        ImageTower(model.visual).encode(images, parts) if ImageTower.runs(model.visual) else model.encode_image(images)
    )


def encode_text(model: Any, tokens: Tensor, device: torch.device) -> Tensor:
    """Encode token ids (C, L), on the CPU, with a model on a device: (C, D), not of unit length."""
    if not TextTower.runs(model):
        return model.encode_text(tokens.to(device))
    tower = TextTower(model)
    return tower.encode(tower.prepare(tokens, device))


def unit(features: Tensor) -> Tensor:
    """Scale features (N, D) of any floating dtype to unit length, float32, also under autocast."""
    with torch.autocast(features.device.type, enabled=False):
        return F.normalize(features.float(), dim=-1)
