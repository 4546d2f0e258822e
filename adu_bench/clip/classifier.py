"""A zero-shot CLIP classifier; methods add parts to it or change its weights."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from adu_bench.clip.backbone import Backbone, unit
from adu_bench.clip.part import Part
from adu_bench.clip.texts import check_texts
from adu_bench.clip.together import encode_images
from adu_bench.clip.tower import ImageTower, Texts, TextTower
from adu_bench.core.errors import UserError

_TEXT_HOOKS = ("text_tokens", "text_embeddings", "before_text_block")
_IMAGE_HOOKS = ("before_block", "image_prompts", "adapt_prompts")

TEXT_BYTES = 2**31
"""Bytes that a training step keeps for the backward pass through the text tower, at most, if all texts are treated
alike; beyond that, texts are encoded in chunks and computed again in the backward pass."""


class Classifier(nn.Module):
    """Zero-shot classifier over one class set, with named removable parts.

    The weights are shared with the backbone until `unfreeze` copies some of them, so a fresh classifier costs no
    memory and cannot change the backbone.

    Parameters
    ----------
    backbone
        The frozen CLIP model to start from.
    classes
        Class names in label order.
    template
        Text with one ``{}`` for the class name.
    """

    model: Any
    """The open_clip model; open_clip has no common type for all of its models."""
    classes: tuple[str, ...]
    images_at_once: int | None
    """Images whose intermediate values a training step keeps at a time; None for a whole batch."""

    def __init__(self, backbone: Backbone, classes: Sequence[str], template: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.model = _sharing_copy(backbone.model)
        self.template = template
        self.parts = nn.ModuleDict()
        self.changed: tuple[str, ...] = ()
        self.images_at_once = None
        self.set_classes(classes)

    # Class set

    def set_classes(self, names: Sequence[str]) -> None:
        """Replace the class set (open vocabulary).

        Raises
        ------
        UserError
            If a part is tied to the classes that it was trained on, if the texts of two classes have the same token
            ids, or if a text is longer than the context of the text tower.
        """
        closed = [name for name, part in self.parts.items() if not part.open_vocabulary]
        if closed and tuple(names) != self.classes:
            raise UserError(
                "The classes of this classifier cannot be replaced.",
                f"Its part '{closed[0]}' was trained for one fixed class set.",
                "Use a method that computes its class weights from the class names.",
            )
        self.classes = tuple(names)
        self._class_tokens = self._tokens(names)
        self._texts: Texts | Tensor | None = None
        self._text_cache: Tensor | None = None

    def _tokens(self, names: Sequence[str]) -> Tensor:
        """Return the token ids of the class texts, int64 (C, L), on the CPU."""
        texts = [self.template.format(name) for name in names]
        tokens = self.backbone.tokenizer(texts)
        check_texts(names, self.template, tokens.numpy(), self.backbone.tokenizer(texts, 4 * tokens.shape[1]).numpy())
        return tokens

    # Predictions

    def logits(self, images: Tensor | None, frozen: Tensor | None = None) -> Tensor:
        """Score images against the classes.

        Parameters
        ----------
        images
            (N, 3, S, S), uint8 or floating in 0..1.  May be None if ``frozen`` is given and `image_side_frozen` holds.
        frozen
            Unit features (N, D) of the frozen backbone for the same images, if known; they save a forward pass.

        Returns
        -------
        Tensor
            Logits (N, C), float32; their softmax is the prediction.
        """
        active = self._active()
        if frozen is None and any(part.needs_frozen for part in active):
            frozen = self.backbone.image_features(_given(images))
        return self.classify(self.features(images, frozen), frozen)

    def classify(self, features: Tensor, frozen: Tensor | None = None, text: Tensor | None = None) -> Tensor:
        """Score unit features against the classes.

        Parameters
        ----------
        features
            (N, D), as `features` returns them.
        frozen
            As in `logits`.
        text
            The result of `text_features`, (C, D), if it is known.

        Returns
        -------
        Tensor
            Logits (N, C), float32 in every training precision.
        """
        text = self.text_features() if text is None else text
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            logits = self.backbone.logit_scale * features @ text.T
            for part in self._active():
                logits = part.score(logits, features, text)
            for part in self._active():
                logits = part.adjust(logits, frozen)
        return logits

    def features(self, images: Tensor | None, frozen: Tensor | None = None) -> Tensor:
        """Encode images to unit-length features (N, D), float32; arguments as in `logits`."""
        if self.image_side_frozen:
            return frozen if frozen is not None else self.backbone.image_features(_given(images))
        normalised, parts = self.backbone.normalise(_given(images)), self._active()
        shared = self.training and not any(name.startswith("visual.") for name in self.changed)
        return unit(encode_images(self.model, normalised, parts, self.images_at_once, shared=shared))

    def block_features(self, images: Tensor, layer: int) -> Tensor:
        """Return the output tokens of image block ``layer`` (from 0): (N, 1 + patches, width), class token first.

        Raises
        ------
        IndexError
            If the tower has no such block.
        UserError
            If the image tower is not a standard ViT of open_clip that pools the class token.
        """
        tower = self._image_tower("Access to the image blocks")
        return tower.tokens_after(self.backbone.normalise(images), layer, self._active())

    def class_attention(self, images: Tensor) -> Tensor:
        """Return the attention of the class token to the patches in the last image block, averaged over heads.

        Returns
        -------
        Tensor
            Attention to each patch, float32, (N, rows, columns).  Its sum is less than one: the rest is attention to
            the class token and to prompts.

        Raises
        ------
        UserError
            If the image tower is not a standard ViT of open_clip that pools the class token.
        """
        tower = self._image_tower("An attention map")
        weights = tower.class_attention(self.backbone.normalise(images), self._active())
        rows, columns = self.model.visual.grid_size
        return weights[:, 1 : 1 + rows * columns].unflatten(1, (rows, columns))

    def text_features(self) -> Tensor:
        """Return the unit-length text features of the classes, (C, D), float32.

        They are computed once and cached, except while a part or a weight of the text side is trained.
        """
        training = self._text_in_training()
        if self._text_cache is not None and not training:
            return self._text_cache
        with torch.set_grad_enabled(torch.is_grad_enabled() and training):
            text = unit(self._encoded_texts())
        if not training:
            self._text_cache = text
        return text

    # Parts and weights

    def add(self, name: str, part: Part) -> Part:
        """Add a part under a name, move it to the backbone's device, and return it.

        Raises
        ------
        UserError
            If the part does not fit this backbone.
        ValueError
            If the classifier has a part of this name.
        """
        if name in self.parts:
            raise ValueError(f"The classifier already has a part called '{name}'.")
        part.attach(self)
        self.parts[name] = part.to(self.backbone.device)
        self._forget_texts()
        return part

    @contextmanager
    def without(self, *names: str) -> Iterator[Classifier]:
        """Switch named parts off inside a ``with`` block."""
        for name in names:
            if name not in self.parts:
                raise KeyError(f"There is no part called '{name}'; the parts are {', '.join(self.parts) or 'none'}.")
        before = {name: cast(Part, self.parts[name]).enabled for name in names}
        self._switch(dict.fromkeys(names, False))
        try:
            yield self
        finally:
            self._switch(before)

    def unfreeze(self, *patterns: str) -> list[nn.Parameter]:
        """Give this classifier its own trainable copy of the backbone's parameters whose names match a pattern.

        Parameters
        ----------
        patterns
            Shell-style patterns over the parameter names of the open_clip model, for example ``visual.*ln_*``.

        Raises
        ------
        ValueError
            If a pattern matches nothing.
        """
        made: list[nn.Parameter] = []
        for pattern in patterns:
            names = fnmatch.filter([name for name, _ in self.model.named_parameters()], pattern)
            if not names:
                raise ValueError(f"No parameter of the backbone matches '{pattern}'.")
            for name in names:
                if name not in self.changed:
                    made.append(self._own(name))
        self._text_cache = None
        return made

    def trainable(self) -> list[nn.Parameter]:
        """Return the parameters that training may change: those of the parts and the unfrozen ones."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    @property
    def image_side_frozen(self) -> bool:
        """Whether the image features are those of the frozen backbone."""
        return not self._touches("visual.", _IMAGE_HOOKS)

    @property
    def text_tower(self) -> Any:
        """The module that holds ``token_embedding`` and the text transformer."""
        return getattr(self.model, "text", self.model)

    def train(self, mode: bool = True) -> Classifier:
        """Set the mode of the parts; the model stays in eval mode, which fixes its statistics and disables dropout."""
        super().train(mode)
        self.model.eval()
        self._text_cache = None
        return self

    def require_image_hooks(self, what: str) -> None:
        """Raise an error if the image tower cannot run the image hooks of a part.

        Parameters
        ----------
        what
            What needs the hooks; the error message starts with it.

        Raises
        ------
        UserError
            If the image tower is not a standard ViT of open_clip that pools the class token.
        """
        self._image_tower(what)

    def require_text_hooks(self, what: str) -> None:
        """Raise an error if the text tower cannot run the text hooks of a part; see `require_image_hooks`."""
        if not TextTower.runs(self.model):
            raise UserError(
                f"{what} cannot be used with the backbone '{self.backbone.spec.name}'.",
                "Its text tower is not a standard transformer of open_clip that pools one token.",
                "Choose a backbone such as ViT-B-16-quickgelu:openai, or a method that does not change the text tower.",
            )

    @property
    def image_width(self) -> int:
        """Token width of the image tower."""
        return int(self.model.visual.conv1.out_channels)

    @property
    def image_depth(self) -> int:
        """Number of blocks of the image tower."""
        return len(self._image_tower("Access to the image blocks").blocks)

    @property
    def image_heads(self) -> int:
        """Attention heads of the image tower's blocks."""
        return int(self._image_tower("Access to the image blocks").blocks[0].attn.num_heads)

    @property
    def text_width(self) -> int:
        """Token width of the text tower."""
        return int(self.text_tower.token_embedding.embedding_dim)

    @property
    def text_depth(self) -> int:
        """Number of blocks of the text tower."""
        return len(self.text_tower.transformer.resblocks)

    @property
    def feature_width(self) -> int:
        """Dimension D of the features."""
        return int(self.text_features().shape[1])

    # Internals

    def _active(self) -> list[Part]:
        return [part for part in cast(Iterable[Part], self.parts.values()) if part.enabled]

    def _switch(self, states: dict[str, bool]) -> None:
        for name, state in states.items():
            cast(Part, self.parts[name]).enabled = state
        self._forget_texts()

    def _forget_texts(self) -> None:
        self._texts = self._text_cache = None

    def _encoded_texts(self) -> Tensor:
        """Encode the class prompts; the positions to pool are computed once, on the CPU."""
        device, parts = self.backbone.device, self._active()
        tower = TextTower(self.model) if TextTower.runs(self.model) else None
        if self._texts is None:
            tokens = self._class_tokens
            for part in parts:
                tokens = part.text_tokens(tokens)
            # Tensors that are created in inference mode cannot be used in training later.
            with torch.inference_mode(False):
                self._texts = tower.prepare(tokens, device) if tower is not None else tokens.to(device)
        if tower is None:
            return self.model.encode_text(self._texts)
        assert isinstance(self._texts, Texts)
        alike = all(part.texts_alike or not part.overrides("text_embeddings", "before_text_block") for part in parts)
        return tower.encode(self._texts, parts, TEXT_BYTES if alike else None)

    def _touches(self, prefix: str, hooks: tuple[str, ...]) -> bool:
        if any(name.startswith(prefix) for name in self.changed):
            return True
        for part in self._active():
            if part.overrides(*hooks) or prefix.removesuffix(".") in part.updated_towers():
                return True
        return False

    def _text_in_training(self) -> bool:
        if not self.training:
            return False
        return any(not name.startswith("visual.") for name in self.changed) or any(
            part.overrides(*_TEXT_HOOKS) or "text" in part.updated_towers() for part in self._active()
        )

    def _image_tower(self, what: str) -> ImageTower:
        if not ImageTower.runs(self.model.visual):
            raise UserError(
                f"{what} cannot be used with the backbone '{self.backbone.spec.name}'.",
                "Its image tower is not a standard ViT of open_clip that pools the class token.",
                "Choose a ViT backbone such as ViT-B-16-quickgelu:openai, or a method without image parts.",
            )
        return ImageTower(self.model.visual)

    def _own(self, name: str) -> nn.Parameter:
        owner_name, _, leaf = name.rpartition(".")
        owner = self.model.get_submodule(owner_name)
        copied = nn.Parameter(getattr(owner, leaf).detach().clone())
        setattr(owner, leaf, copied)
        self.changed = tuple(sorted((*self.changed, name)))
        return copied


def _sharing_copy(model: nn.Module) -> nn.Module:
    """Copy a model's structure but share its tensors: hooks and replaced parameters of the copy do not affect it."""
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    return copy.deepcopy(model, memo=shared)


def _given(images: Tensor | None) -> Tensor:
    if images is None:
        raise ValueError("Images are needed: this classifier changes the image side, or no frozen features were given.")
    return images
