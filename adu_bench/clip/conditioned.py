"""Class prompts whose context tokens depend on the image: every image has its own class texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adu_bench.clip.backbone import unit
from adu_bench.clip.memory import in_chunks
from adu_bench.clip.part import Host, Part
from adu_bench.clip.tower import Texts, TextTower

TEXT_BYTES = 2**31
"""Bytes of intermediate values of the text tower at a time; further images are encoded in further chunks."""


class ImageContexts(Part):
    """Base class of parts that compute context tokens from an image's features; a subclass defines `contexts`.

    The texts are the context and the bare class name ("... {class}."), encoded for a batch of images at once.

    Parameters
    ----------
    length
        Context tokens.
    extra
        Names of further classes, for which `all_logits` has columns after those of the classifier's classes.
    """

    logit_scale: Tensor
    _classifier: Host

    def __init__(self, length: int, extra: list[str] | None = None) -> None:
        super().__init__()
        self.length, self.extra = length, tuple(extra or ())
        self.register_buffer("logit_scale", torch.ones(()))
        self._prepared: tuple[tuple[str, ...], Texts] | None = None

    def contexts(self, features: Tensor) -> Tensor:
        """Return the context tokens (N, length, text width) for unit image features (N, D)."""
        raise NotImplementedError

    def attach(self, classifier: Host) -> None:
        """Check that the text tower supports learned tokens, and keep the classifier, whose classes are the texts."""
        classifier.require_text_hooks("Text context that depends on the image")
        # Set without nn.Module, which would register the classifier as a submodule of its own part.
        object.__setattr__(self, "_classifier", classifier)
        self.logit_scale.copy_(classifier.backbone.logit_scale)

    def texts(self, features: Tensor) -> Tensor:
        """Return the unit text features of each image's classes, (N, C + extra, D)."""
        tower, texts = TextTower(self._classifier.model), self._texts()
        count = len(texts.ids)

        def encode(contexts: Tensor) -> Tensor:
            images = len(contexts)
            repeated = Texts(texts.ids.repeat(images, 1), texts.read.repeat(images))
            inserted = _Inserted(contexts.repeat_interleave(count, dim=0))
            return unit(tower.encode(repeated, [inserted])).view(images, count, -1)

        size = max(1, TEXT_BYTES // (count * tower.bytes_kept(texts)))
        contexts = self.contexts(features)
        if torch.is_grad_enabled():
            return in_chunks(encode, size, contexts)
        return torch.cat([encode(part) for part in contexts.split(size)])

    def all_logits(self, features: Tensor) -> Tensor:
        """Return the logits (N, C + extra) of unit image features (N, D)."""
        return self.logit_scale * torch.einsum("ncd,nd->nc", self.texts(features), features)

    def score(self, logits: Tensor, features: Tensor, text: Tensor) -> Tensor:
        """Return the logits (N, C) in place of the zero-shot ones."""
        return self.all_logits(features)[:, : logits.shape[1]]

    def _texts(self) -> Texts:
        """Return the prepared texts; they are computed anew after the classes changed."""
        classes = (*self._classifier.classes, *self.extra)
        if self._prepared is None or self._prepared[0] != classes:
            tokens = self._classifier.backbone.tokenizer([f"{name}." for name in classes])
            if bool((tokens[:, -self.length :] != 0).any()):
                raise ValueError(f"A class name and {self.length} context tokens exceed {tokens.shape[1]} text tokens.")
            filler = tokens.new_ones(len(tokens), self.length)
            tokens = torch.cat([tokens[:, :1], filler, tokens[:, 1 : -self.length]], dim=1)
            # Tensors that are created in inference mode cannot be used in training later.
            with torch.inference_mode(False):
                prepared = TextTower(self._classifier.model).prepare(tokens, self._classifier.backbone.device)
            self._prepared = (classes, prepared)
        return self._prepared[1]


def bottleneck(inputs: int, outputs: int) -> nn.Sequential:
    """Return CoCoOp's small network: a hidden layer of a sixteenth of the inputs, with ReLU."""
    hidden = max(1, inputs // 16)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class _Inserted(Part):
    """Give each text its context tokens (T, L, width) after the start token."""

    def __init__(self, contexts: Tensor) -> None:
        super().__init__()
        self.contexts = contexts

    def text_embeddings(self, embeddings: Tensor) -> Tensor:
        """Replace the placeholders."""
        context = self.contexts.to(embeddings.dtype)
        return torch.cat([embeddings[:, :1], context, embeddings[:, 1 + context.shape[1] :]], dim=1)
