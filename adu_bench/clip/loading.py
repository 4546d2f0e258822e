"""Load a backbone by name: open_clip's models, and models in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor, nn

from adu_bench.clip import folder_model, pretrained
from adu_bench.clip.backbone import Backbone
from adu_bench.clip.identity import BackboneName, folder_config, parse_backbone
from adu_bench.clip.weights import backbone_spec, preprocessing_from
from adu_bench.clip.weights_file import loadable, misfit
from adu_bench.core.errors import UserError, unknown
from adu_bench.core.specs import BackboneSpec
from adu_bench.data.preprocessing import Preprocessing


def load_backbone(name: str, device: torch.device | str = "cpu") -> Backbone:
    """Load a CLIP model by name.

    Parameters
    ----------
    name
        ``emoji-clip`` (shipped), ``MODEL:TAG`` (open_clip's pretrained weights), ``MODEL:TAG=FILE`` (the same from a
        local file, see `adu_bench.clip.weights_file`), ``MODEL:FILE`` (other weights of the same
        kind), or a folder with a model's configuration and weights.
    device
        Device of the weights.

    Raises
    ------
    UserError
        If the model or its weights do not exist or cannot be read, or if the weights do not fit the model.
    """
    parsed = parse_backbone(name)
    spec = backbone_spec(name, fetch=True)
    model: Any
    if parsed.folder is not None:
        model, tokenizer = folder_model.build(parsed.folder)
        settings = folder_config(parsed.folder)["preprocess_cfg"]
    else:
        model, tokenizer = _open_clip_model(parsed)
        settings = pretrained.image_settings(parsed)
    model = model.to(device).eval().requires_grad_(False)
    mean, std = (torch.tensor(settings[field], device=device).view(3, 1, 1) for field in ("mean", "std"))
    return Backbone(spec, model, tokenizer, preprocessing_from(settings), mean, std, torch.device(device))


def random_model(name: str, image_size: int | None = None) -> Any:
    """Build an open_clip model with random weights, frozen and in eval mode, to measure speed without a download.

    Parameters
    ----------
    name
        Name of an open_clip model.
    image_size
        Side of the images in pixels; None for the model's.

    Raises
    ------
    UserError
        If open_clip does not know the model.
    """
    if name not in open_clip.list_models():
        raise unknown("open_clip model", name, open_clip.list_models())
    with pretrained.without_warnings():  # open_clip warns that the weights are random, which is intended here
        made = open_clip.create_model(name, load_weights=False, force_image_size=image_size)
    return made.eval().requires_grad_(False)


def random_backbone(model: str, device: str, image_size: int | None = None) -> Backbone:
    """Return a backbone of open_clip with random weights.

    Parameters
    ----------
    model
        Name of an open_clip model with square images.
    device
        Device of the weights.
    image_size
        As in `random_model`.
    """
    torch.manual_seed(0)
    made = random_model(model, image_size).to(device)
    size = made.visual.image_size
    half = torch.full((3, 1, 1), 0.5, device=device)
    return Backbone(
        BackboneSpec(f"{model}:random", "0" * 20),
        made,
        open_clip.get_tokenizer(model),
        Preprocessing(size[0] if isinstance(size, tuple) else size, "bicubic", "shortest"),
        half,
        half,
        torch.device(device),
    )


def _open_clip_model(parsed: BackboneName) -> tuple[nn.Module, Callable[[list[str]], Tensor]]:
    pretrained.check(parsed)
    path = parsed.local_file or pretrained.locate(parsed, fetch=True)
    try:
        model = _with_weights(parsed.model, path)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"The weights '{path}' could not be loaded into '{parsed.model}'.",
            f"{misfit(error) or type(error).__name__}.",
            "Check that the file belongs to this model and is complete; download it again if in doubt.",
        ) from error
    try:
        return model, open_clip.get_tokenizer(parsed.model)
    except Exception as error:
        raise UserError(
            f"The tokenizer of '{parsed.model}' could not be made.",
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}.",
            "SigLIP and some other models need: pip install transformers, and a network on first use.",
        ) from error


def _with_weights(model: str, path: Path) -> nn.Module:
    try:
        with loadable(path) as file:
            return open_clip.create_model(model, pretrained=str(file))
    except RuntimeError as error:
        if "not implemented for" not in str(error):
            raise
    # A CPU cannot resize positional embeddings in half precision, which weights for another image size need.
    with loadable(path, single=True) as file:
        return open_clip.create_model(model, pretrained=str(file))
