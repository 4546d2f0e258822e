"""A CLIP zero-shot classifier to which methods add parts or whose weights they change."""

from __future__ import annotations

import copy
import fnmatch
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.part import Part
from adu_bench.core.errors import UserError

FORMAT = 1
_TEXT_HOOKS = ("text_tokens", "text_embeddings", "before_text_block")
_IMAGE_HOOKS = ("before_pre_norm", "before_block")


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
    """The open_clip model, whose layout has no type that all models share."""
    classes: tuple[str, ...]

    def __init__(self, backbone: Backbone, classes: Sequence[str], template: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.model = _sharing_copy(backbone.model)
        self.template = template
        self.parts = nn.ModuleDict()
        self.changed: tuple[str, ...] = ()
        self._hook_towers()
        self.set_classes(classes)

    # Class set

    def set_classes(self, names: Sequence[str]) -> None:
        """Answer over other classes from now on (open vocabulary).

        Raises
        ------
        UserError
            If a part is tied to the classes that it was trained on.
        """
        closed = [name for name, part in self.parts.items() if not part.open_vocabulary]
        if closed and tuple(names) != self.classes:
            raise UserError(
                "This classifier cannot take other classes.",
                f"Its part '{closed[0]}' was trained for its own class set.",
                "Use a method whose head is made of class names.",
            )
        self.classes = tuple(names)
        texts = [self.template.format(name) for name in names]
        self._class_tokens = self.backbone.tokenizer(texts).to(self.backbone.device)
        self._text_cache: Tensor | None = None

    # Answers

    def logits(self, images: Tensor | None, frozen: Tensor | None = None) -> Tensor:
        """Score images against the classes.

        Parameters
        ----------
        images
            (N, 3, S, S), uint8 or floating in 0..1.  May be None where ``frozen`` is given and `image_side_frozen`.
        frozen
            Unit features (N, D) of the untouched backbone for the same images, if they are at hand; saves a pass.

        Returns
        -------
        Tensor
            Logits (N, C), float32; their softmax is the prediction.
        """
        active = self._active()
        if frozen is None and any(part.needs_frozen for part in active):
            frozen = self.backbone.image_features(_given(images))
        return self.classify(self.features(images, frozen), frozen)

    def classify(self, features: Tensor, frozen: Tensor | None = None) -> Tensor:
        """Score unit features (N, D) of `features` against the classes; see `logits` for ``frozen``."""
        text = self.text_features()
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
        encoded = self.model.encode_image(self.backbone.normalise(_given(images)))
        return F.normalize(encoded.float(), dim=-1)

    def block_features(self, images: Tensor, layer: int) -> Tensor:
        """Return the tokens that leave image block ``layer`` (from 0): (N, 1 + patches, width), class token first.

        Raises
        ------
        IndexError
            If the tower has no such block.
        """
        blocks = self._image_blocks()
        caught: list[Tensor] = []
        handle = blocks[layer].register_forward_hook(lambda _module, _inputs, output: caught.append(output))
        try:
            self.model.encode_image(self.backbone.normalise(images))
        finally:
            handle.remove()
        return caught[0][:, : self._image_tokens()]

    def text_features(self) -> Tensor:
        """Return the unit-length text features of the classes, (C, D), float32.

        They are computed once and kept, except while a text-side part or weight is being trained.
        """
        if self._text_cache is not None and not self._text_in_training():
            return self._text_cache
        tokens = self._class_tokens
        for part in self._active():
            tokens = part.text_tokens(tokens)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._text_in_training()):
            text = F.normalize(self.model.encode_text(tokens).float(), dim=-1)
        if not self._text_in_training():
            self._text_cache = text
        return text

    # Parts and weights

    def add(self, name: str, part: Part) -> Part:
        """Add a part under a name and return it; its device becomes the backbone's.

        Raises
        ------
        UserError
            If the part does not fit this backbone.
        ValueError
            If the name is taken.
        """
        if name in self.parts:
            raise ValueError(f"There is a part called '{name}' already.")
        part.attach(self)
        self.parts[name] = part.to(self.backbone.device)
        self._text_cache = None
        return part

    @contextmanager
    def without(self, *names: str) -> Iterator[Classifier]:
        """Switch named parts off for the duration of a ``with`` block."""
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
        """Whether the image features equal the untouched backbone's."""
        return not self._touches("visual.", _IMAGE_HOOKS)

    @property
    def text_tower(self) -> Any:
        """The module that holds ``token_embedding`` and the text transformer."""
        return getattr(self.model, "text", self.model)

    def train(self, mode: bool = True) -> Classifier:
        """Set the parts' mode; the backbone stays in eval mode (it has statistics and dropout to keep still)."""
        super().train(mode)
        self.model.eval()
        self._text_cache = None
        return self

    def require_prompts(self, what: str) -> None:
        """Refuse towers that cannot carry extra image tokens.

        Raises
        ------
        UserError
            If the image tower is no ViT of open_clip, or pools over all tokens rather than the class token.
        """
        visual = self.model.visual
        if not hasattr(visual, "transformer") or getattr(visual, "pool_type", None) != "tok":
            raise UserError(
                f"{what} cannot be used with the backbone '{self.backbone.spec.name}'.",
                "Its image tower is not a ViT that reads its answer from a class token.",
                "Choose a ViT backbone such as ViT-B-16-quickgelu:openai, or a method that leaves the tower alone.",
            )

    @property
    def image_width(self) -> int:
        """Token width of the image tower."""
        return int(self.model.visual.conv1.out_channels)

    @property
    def image_depth(self) -> int:
        """Number of blocks of the image tower."""
        return len(self._image_blocks())

    @property
    def image_heads(self) -> int:
        """Attention heads of the image tower's blocks."""
        return int(self._image_blocks()[0].attn.num_heads)

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

    # Files

    def save(self, path: Path) -> None:
        """Write what differs from the backbone as safetensors: changed weights, and parts with their settings."""
        tensors = {f"parts.{name}": value for name, value in self.parts.state_dict().items()}
        weights = dict(self.model.named_parameters())
        tensors |= {f"model.{name}": weights[name] for name in self.changed}
        header = {
            "format": FORMAT,
            "backbone": self.backbone.spec.name,
            "weights_hash": self.backbone.spec.weights_hash,
            "classes": self.classes,
            "template": self.template,
            "changed": self.changed,
            "parts": [[name, type(part).__name__, part.settings] for name, part in self.parts.items()],
        }
        # Parts may share a tensor between two names; a file holds each name's own copy.
        copies = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
        save_file(copies, path, metadata={"adu_bench": json.dumps(header)})

    @staticmethod
    def load(path: Path, backbone: Backbone) -> Classifier:
        """Rebuild a saved classifier on its backbone.

        Only kinds of parts that are known to the program are built: a file can name one, not bring code.

        Raises
        ------
        UserError
            If the file is no saved classifier, belongs to other weights, or needs an unknown kind of part.
        """
        try:
            with safe_open(path, framework="pt", device=str(backbone.device)) as file:
                header = json.loads(file.metadata()["adu_bench"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except Exception as error:
            raise UserError(
                f"'{path}' is not a saved classifier.",
                f"Reading it gave {type(error).__name__}.",
                "Name a method.safetensors file of a finished run.",
            ) from error
        if header["weights_hash"] != backbone.spec.weights_hash:
            raise UserError(
                f"'{path}' does not fit the backbone '{backbone.spec.name}'.",
                f"It was made from '{header['backbone']}' with weights {header['weights_hash']}.",
                f"Load that backbone: --backbone {header['backbone']}",
            )
        classifier = Classifier(backbone, header["classes"], header["template"])
        if header["changed"]:
            classifier.unfreeze(*header["changed"])
        for name, kind, settings in header["parts"]:
            if kind not in Part.kinds:
                raise UserError(
                    f"'{path}' cannot be rebuilt.",
                    f"Its part '{name}' is a '{kind}', which no loaded method defines.",
                    "Load the method's file first (--from DIR).",
                )
            classifier.add(name, Part.kinds[kind](**settings))
        state = {name.removeprefix("parts."): value for name, value in tensors.items() if name.startswith("parts.")}
        classifier.parts.load_state_dict(state, strict=True)
        with torch.no_grad():
            weights = dict(classifier.model.named_parameters())
            for name in classifier.changed:
                weights[name].copy_(tensors[f"model.{name}"])
        return classifier.eval()

    # Inside

    def _active(self) -> list[Part]:
        return [part for part in cast(Iterable[Part], self.parts.values()) if part.enabled]

    def _switch(self, states: dict[str, bool]) -> None:
        for name, state in states.items():
            cast(Part, self.parts[name]).enabled = state
        self._text_cache = None

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

    def _image_blocks(self) -> Any:
        self.require_prompts("Access to the image blocks")
        return self.model.visual.transformer.resblocks

    def _image_tokens(self) -> int:
        return int(self.model.visual.positional_embedding.shape[0])

    def _own(self, name: str) -> nn.Parameter:
        owner_name, _, leaf = name.rpartition(".")
        owner = self.model.get_submodule(owner_name)
        copied = nn.Parameter(getattr(owner, leaf).detach().clone())
        setattr(owner, leaf, copied)
        self.changed = tuple(sorted((*self.changed, name)))
        return copied

    def _hook_towers(self) -> None:
        """Let active parts see the tokens on their way; hooks stay on this classifier's own structure."""
        visual = self.model.visual
        if hasattr(visual, "transformer") and hasattr(visual, "ln_pre"):
            visual.ln_pre.register_forward_pre_hook(lambda _module, inputs: (self._run("before_pre_norm", inputs[0]),))
            for index, block in enumerate(visual.transformer.resblocks):
                block.register_forward_pre_hook(self._block_hook("before_block", index))
        text = self.text_tower
        if hasattr(text, "token_embedding"):
            text.token_embedding.register_forward_hook(
                lambda _module, _inputs, output: self._run("text_embeddings", output)
            )
            for index, block in enumerate(text.transformer.resblocks):
                block.register_forward_pre_hook(self._block_hook("before_text_block", index))

    def _block_hook(self, hook: str, index: int):
        def run(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            tokens = inputs[0]
            for part in self._active():
                tokens = getattr(part, hook)(index, tokens)
            return (tokens, *inputs[1:])

        return run

    def _run(self, hook: str, tokens: Tensor) -> Tensor:
        for part in self._active():
            tokens = getattr(part, hook)(tokens)
        return tokens


def _sharing_copy(model: nn.Module) -> nn.Module:
    """Copy a model's structure, not its tensors: hooks and replaced parameters of the copy leave the model alone."""
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    return copy.deepcopy(model, memo=shared)


def _given(images: Tensor | None) -> Tensor:
    if images is None:
        raise ValueError("Images are needed: this classifier changes the image side, or no frozen features were given.")
    return images
