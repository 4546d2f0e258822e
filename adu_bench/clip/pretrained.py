"""Facts from open_clip about its models and pretrained weights: image settings, activation, location of the file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import open_clip
from open_clip.transform import PreprocessCfg

from adu_bench.clip.identity import BackboneName
from adu_bench.core.errors import UserError, unknown

_QUICKGELU = "-quickgelu"


def describe(parsed: BackboneName, fetch: bool = False) -> dict[str, Any]:
    """Check the name of an open_clip model, and return where its weights are and how its images are prepared.

    Parameters
    ----------
    parsed
        The name.
    fetch
        Whether weights that are not on this machine may be fetched.

    Returns
    -------
    dict
        ``path`` (absolute path of the weights file) and ``images``, see `image_settings`.

    Raises
    ------
    UserError
        If the model or the tag does not exist, the weights do not fit the model's activation, the image settings
        cannot be used or are ambiguous, or the weights are not on this machine and not fetched.
    """
    check(parsed)
    images = image_settings(parsed)
    return {"path": str((parsed.local_file or locate(parsed, fetch)).resolve()), "images": images}


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


def locate(parsed: BackboneName, fetch: bool = False) -> Path:
    """Find the weights file of an open_clip tag on this machine; where asked, fetch a missing one.

    Raises
    ------
    UserError
        If the weights are not on this machine, and fetching them was not asked for or failed.
    """
    settings = open_clip.get_pretrained_cfg(parsed.model, parsed.tag)
    if (found := _fetched(settings)) is not None:
        return found
    why, cause = "This command does not fetch weights; adu-bench run does where there is a network", None
    if fetch:
        try:
            with without_warnings("huggingface_hub"):
                return Path(open_clip.download_pretrained(settings))
        except Exception as error:
            why, cause = f"Fetching them failed ({type(error).__name__})", error
    repository, _, file = str(settings.get("hf_hub", "")).rpartition("/")
    file = file or "open_clip_model.safetensors"
    command = f"hf download {repository} {file} --local-dir weights" if repository else f"fetch {settings['url']}"
    given = f"--backbone {parsed.portable}=weights/{file}"
    raise UserError(
        f"The weights of '{parsed.portable}' are not on this machine.",
        f"{why}.",
        f"On a machine with a network: {command}; then copy the file here: {given}; or "
        "take the small model that is included: --backbone emoji-clip",
    ) from cause


@contextmanager
def without_warnings(library: str = "") -> Iterator[None]:
    """Keep a library from logging warnings, where what it would say is intended or said by an error.

    Parameters
    ----------
    library
        The name of its logger; empty for the root logger, to which open_clip writes.
    """
    logger = logging.getLogger(library)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _fetched(settings: Mapping[str, Any]) -> Path | None:
    """Return the file that `open_clip.download_pretrained` fetched earlier, without asking a server."""
    repository, _, file = str(settings.get("hf_hub", "")).rpartition("/")
    if repository:
        from huggingface_hub import try_to_load_from_cache
        from open_clip.constants import HF_WEIGHTS_NAME
        from open_clip.pretrained import _get_safe_alternatives

        wanted = file or HF_WEIGHTS_NAME
        for name in (*_get_safe_alternatives(wanted), wanted):
            if isinstance(path := try_to_load_from_cache(repository, name), str):
                return Path(path)
    if name := str(settings.get("url", "")).rpartition("/")[2]:
        path = Path("~/.cache/clip", name).expanduser()
        return path if path.is_file() and not repository else None
    return None
