"""Facts from open_clip about its models and pretrained weights: image settings, activation, location of the file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import open_clip
from open_clip.transform import PreprocessCfg

from adu_bench.clip.identity import BackboneName
from adu_bench.core.errors import UserError, unknown

_QUICKGELU = "-quickgelu"


def describe(parsed: BackboneName) -> dict[str, Any]:
    """Check the name of an open_clip model, and return where its weights are and how its images are prepared.

    Returns
    -------
    dict
        ``path`` (absolute path of the weights file) and ``images``, see `image_settings`.

    Raises
    ------
    UserError
        If the model or the tag does not exist, the weights do not fit the model's activation, the image settings
        cannot be used or are ambiguous, or the weights are neither on this machine nor can be fetched.
    """
    check(parsed)
    images = image_settings(parsed)
    return {"path": str((parsed.local_file or locate(parsed)).resolve()), "images": images}


def check(parsed: BackboneName) -> None:
    """Refuse unknown models and tags, and weights that were trained with another activation than the model has.

    open_clip builds the activation of the model's configuration, even if the weights were trained with another one.

    Raises
    ------
    UserError
        See above.
    """
    if parsed.model not in open_clip.list_models():
        raise unknown("open_clip model", parsed.model, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(parsed.model)
    if (parsed.tag or parsed.file is None) and parsed.tag not in tags:
        raise unknown(f"set of weights for {parsed.model}", parsed.tag, tags)
    if not parsed.tag:
        return
    built, trained = builds_quickgelu(parsed.model), trained_with_quickgelu(parsed.model, parsed.tag)
    if built == trained:
        return
    names = {True: "QuickGELU", False: "GELU"}
    other = parsed.model.removesuffix(_QUICKGELU) if built else parsed.model + _QUICKGELU
    file = f"={parsed.file}" if parsed.file else ""
    fits = other in open_clip.list_models() and builds_quickgelu(other) == trained
    raise UserError(
        f"'{parsed.portable}' would compute wrong features.",
        f"open_clip lists the weights as trained with {names[trained]}, and this model name uses {names[built]}.",
        f"Use --backbone {other}:{parsed.tag}{file}"
        if fits
        else "open_clip has no model name for these weights; choose another backbone (adu-bench list backbones).",
    )


def builds_quickgelu(model: str) -> bool:
    """Whether open_clip builds a model with QuickGELU."""
    return bool((open_clip.get_model_config(model) or {}).get("quick_gelu", False))


def trained_with_quickgelu(model: str, tag: str) -> bool:
    """Whether open_clip says that a tag's weights were trained with QuickGELU."""
    return bool(open_clip.get_pretrained_cfg(model, tag).get("quick_gelu", False))


def image_settings(parsed: BackboneName) -> dict[str, Any]:
    """Return the image settings that a model's weights were trained with; a weights file does not contain them.

    Returns
    -------
    dict
        ``size`` (side of the square image in pixels), ``interpolation``, ``resize_mode``, and ``mean`` and ``std``
        (three floats each, of images in 0..1).

    Raises
    ------
    UserError
        If the name has a file without a tag and open_clip's weights for this model were trained with different
        settings, or if the images are not square.
    """
    config = open_clip.get_model_config(parsed.model)
    defaults = asdict(PreprocessCfg()) | {"size": config["vision_cfg"]["image_size"]}
    tags = open_clip.list_pretrained_tags_by_model(parsed.model)
    known = {tag: _settings(defaults | _given(parsed.model, tag)) for tag in tags}
    if parsed.tag:
        return _square(parsed, known[parsed.tag])
    different = [settings for place, settings in enumerate(known.values()) if settings not in [*known.values()][:place]]
    if len(different) > 1:
        raise UserError(
            f"The preprocessing of '{parsed.portable}' is ambiguous.",
            f"open_clip's weights for {parsed.model} were trained with {len(different)} different preprocessings.",
            f"Give the tag that the file belongs to: --backbone {parsed.model}:{tags[0]}={parsed.file}",
        )
    return _square(parsed, different[0] if different else _settings(defaults))


def _given(model: str, tag: str) -> dict[str, Any]:
    return {name: value for name, value in open_clip.get_pretrained_cfg(model, tag).items() if value}


def _settings(values: dict[str, Any]) -> dict[str, Any]:
    plain = {name: values[name] for name in ("size", "interpolation", "resize_mode")}
    return plain | {name: [float(value) for value in values[name]] for name in ("mean", "std")}


def _square(parsed: BackboneName, settings: dict[str, Any]) -> dict[str, Any]:
    size = settings["size"]
    if isinstance(size, list | tuple):
        if size[0] != size[1]:
            raise UserError(
                f"The backbone '{parsed.portable}' cannot be used.",
                f"Its images have {size[0]}x{size[1]} pixels, and the benchmark's images are square.",
                "Choose a backbone with square images.",
            )
        size = size[0]
    return settings | {"size": int(size)}


def locate(parsed: BackboneName) -> Path:
    """Find the weights file of an open_clip tag; without one on this machine, fetch it.

    Raises
    ------
    UserError
        If the weights are neither in the hub's cache nor can be fetched.
    """
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
            f"On a machine with a network: {command}; then copy the file here: "
            f"--backbone {parsed.portable}=weights/{file}",
        ) from error
