"""A frozen CLIP model with its tokenizer and the way it wants its images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adu_bench.clip.identity import BackboneName, backbone_spec, parse_backbone
from adu_bench.clip.tower import Hooks, ImageTower, TextTower
from adu_bench.core.errors import UserError
from adu_bench.core.specs import BackboneSpec
from adu_bench.data.preprocessing import Preprocessing


@dataclass(frozen=True)
class Backbone:
    """A CLIP model with frozen weights.

    Parameters
    ----------
    spec
        Name and weights' hash.
    model
        The open_clip model in eval mode; no parameter requires a gradient.
    tokenizer
        Maps a list of N texts to token ids, int64, (N, context length).
    preprocessing
        How images are resized before they reach the model.
    mean, std
        Channel statistics for normalisation of images in 0..1, float32, (3, 1, 1).
    device
        Where the model's weights are.
    """

    spec: BackboneSpec
    model: Any
    tokenizer: Callable[[list[str]], Tensor]
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
        """Turn images (N, 3, S, S), uint8 or floating in 0..1, into what the model takes (float, same shape)."""
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
    """Encode normalised images (N, 3, S, S) with a model and the parts of a classifier: (N, D), of any length."""
    return (
        ImageTower(model.visual).encode(images, parts) if ImageTower.runs(model.visual) else model.encode_image(images)
    )


def encode_text(model: Any, tokens: Tensor, device: torch.device) -> Tensor:
    """Encode token ids (C, L), on the CPU, with a model on a device: (C, D), of any length."""
    if not TextTower.runs(model):
        return model.encode_text(tokens.to(device))
    tower = TextTower(model)
    return tower.encode(tower.prepare(tokens, device))


def unit(features: Tensor) -> Tensor:
    """Scale features (N, D) to unit length in single precision, whatever precision they were computed in."""
    with torch.autocast(features.device.type, enabled=False):
        return F.normalize(features.float(), dim=-1)


def load_backbone(name: str, device: torch.device | str = "cpu") -> Backbone:
    """Load a CLIP model by name.

    Parameters
    ----------
    name
        ``emoji-clip`` (shipped), ``MODEL:TAG`` (open_clip's pretrained weights), ``MODEL:TAG=FILE`` (the same from a
        local file: .safetensors, or .pt read with ``weights_only=True``), ``MODEL:FILE`` (other weights of the same
        kind), or a folder with a model's configuration and weights.
    device
        Where to put the weights.

    Raises
    ------
    UserError
        If the model or its weights do not exist, cannot be read, or do not fit each other.
    """
    parsed = parse_backbone(name)
    spec = backbone_spec(name)
    if parsed.folder is not None:
        from adu_bench.clip.folder_model import build

        model, tokenizer = build(parsed.folder)
    else:
        model, tokenizer = _open_clip_model(parsed)
    return _frozen(spec, model, tokenizer, torch.device(device))


def _frozen(spec: BackboneSpec, model: Any, tokenizer: Callable, device: torch.device) -> Backbone:
    model = model.to(device).eval().requires_grad_(False)
    settings = model.visual.preprocess_cfg
    size = settings["size"]
    if isinstance(size, tuple | list):
        if size[0] != size[1]:
            raise UserError(
                f"The backbone '{spec.name}' cannot be used.",
                f"It wants images of {size[0]}x{size[1]} pixels, and the benchmark's images are square.",
                "Choose a backbone with square images.",
            )
        size = size[0]
    preprocessing = Preprocessing(
        size=int(size), interpolation=settings["interpolation"], resize_mode=settings["resize_mode"]
    )
    mean, std = (torch.tensor(settings[field], device=device).view(3, 1, 1) for field in ("mean", "std"))
    return Backbone(spec, model, tokenizer, preprocessing, mean, std, device)


def _open_clip_model(parsed: BackboneName) -> tuple[nn.Module, Callable[[list[str]], Tensor]]:
    import open_clip

    _check_model_name(parsed)
    path = parsed.local_file or locate_pretrained(parsed)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*QuickGELU mismatch.*")
        try:
            model = open_clip.create_model(parsed.model, pretrained=str(path), force_preprocess_cfg=_preprocess(parsed))
        except UserWarning as error:
            raise UserError(
                f"'{parsed.portable}' would compute wrong features.",
                "The weights were trained with QuickGELU, and this model name uses GELU.",
                f"Use the model name {parsed.model}-quickgelu.",
            ) from error
        except Exception as error:
            raise UserError(
                f"The weights '{path}' could not be loaded into '{parsed.model}'.",
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}.",
                "Check that the file belongs to this model and is complete; download it again if in doubt.",
            ) from error
    try:
        return model, open_clip.get_tokenizer(parsed.model)
    except Exception as error:
        raise UserError(
            f"The tokenizer of '{parsed.model}' could not be made.",
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}.",
            "SigLIP and some others take theirs from the hub: pip install transformers, and fetch it on a network.",
        ) from error


def _check_model_name(parsed: BackboneName) -> None:
    import open_clip

    from adu_bench.core.errors import unknown

    if parsed.model not in open_clip.list_models():
        raise unknown("open_clip model", parsed.model, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(parsed.model)
    if (parsed.tag or parsed.file is None) and parsed.tag not in tags:
        raise unknown(f"set of weights for {parsed.model}", parsed.tag, tags)


def _preprocess(parsed: BackboneName) -> dict[str, Any]:
    """Return image statistics and resizing as the named weights want them, which a weights file does not say.

    Raises
    ------
    UserError
        If only a file is named, and open_clip's weights for this model were trained with different ones.
    """
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(parsed.model)
    known = {tag: _image_settings(open_clip.get_pretrained_cfg(parsed.model, tag)) for tag in tags}
    if parsed.tag:
        return known[parsed.tag]
    different = [settings for place, settings in enumerate(known.values()) if settings not in [*known.values()][:place]]
    if len(different) > 1:
        raise UserError(
            f"It is not known how '{parsed.portable}' wants its pictures.",
            f"open_clip's weights for {parsed.model} were trained with {len(different)} different preprocessings.",
            f"Name the tag that the file belongs to: --backbone {parsed.model}:{tags[0]}={parsed.file}",
        )
    return different[0] if different else {}


def _image_settings(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in ("mean", "std", "interpolation", "resize_mode") if settings.get(name)}


def locate_pretrained(parsed: BackboneName) -> Path:
    """Find (or fetch, where a network is) the weights file of an open_clip tag.

    Raises
    ------
    UserError
        If the tag is unknown, or the weights are neither in the hub's cache nor can be fetched.
    """
    import open_clip

    _check_model_name(parsed)
    settings = open_clip.get_pretrained_cfg(parsed.model, parsed.tag)
    try:
        return Path(open_clip.download_pretrained(settings))
    except Exception as error:
        repository, _, file = str(settings.get("hf_hub", "")).rpartition("/")
        file = file or "open_clip_model.safetensors"
        command = f"hf download {repository} {file} --local-dir weights" if repository else f"fetch {settings['url']}"
        raise UserError(
            f"The weights of '{parsed.portable}' are not on this machine.",
            f"Fetching them failed ({type(error).__name__}).",
            f"On a machine with a network: {command}; then bring the file here: "
            f"--backbone {parsed.portable}=weights/{file}",
        ) from error
