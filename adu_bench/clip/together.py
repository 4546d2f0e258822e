"""One pass of the image tower for the classifiers of several runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from adu_bench.clip.backbone import encode_image
from adu_bench.clip.blocks import per_image
from adu_bench.clip.memory import in_chunks
from adu_bench.clip.part import Part
from adu_bench.clip.tower import ImageTower
from adu_bench.clip.turns import shares_steps, together


def encode_images(
    model: Any, images: Tensor, parts: Sequence[Part], at_once: int | None = None, *, shared: bool = False
) -> Tensor:
    """Encode the images of one classifier; in a training step that runs do together, with the images of the others.

    Parameters
    ----------
    model
        The open_clip model.
    images
        Normalised, (N, 3, S, S).
    parts
        The classifier's active parts.
    at_once
        Images whose intermediate values are kept at a time, see `in_chunks`; None for all.
    shared
        The image tower is trained by nobody, and is the same for all runs of a group.

    Returns
    -------
    Tensor
        Features (N, D), not of unit length.
    """
    encode = partial(encode_image, model)
    if shared and at_once is None and shares_steps() and torch.is_grad_enabled() and _mergeable(model, parts):
        blocks = len(ImageTower(model.visual).blocks)
        return together("forward", forward_of(images, parts, blocks), partial(encode_together, encode), len(images))
    return in_chunks(lambda some: encode(some, parts), at_once or len(images), images)


def _mergeable(model: Any, parts: Sequence[Part]) -> bool:
    updated = any("visual" in part.updated_towers() for part in parts)
    return ImageTower.runs(model.visual) and not updated and not draws_at_random(parts)


@dataclass(frozen=True)
class Forward:
    """What one run brings to a joint forward pass.

    Parameters
    ----------
    images
        Normalised, (N, 3, S, S).
    parts
        The active parts of its classifier.
    prompts
        What they return for each block of the tower: (P, width), (N, P, width) or None.
    """

    images: Tensor
    parts: Sequence[Part]
    prompts: tuple[Tensor | None, ...]

    @property
    def shape(self) -> tuple[Any, ...]:
        """What must be the same for runs that share a pass."""
        return tuple(None if one is None else one.shape[-2:] for one in self.prompts), self.images.shape[1:]


def forward_of(images: Tensor, parts: Sequence[Part], blocks: int) -> Forward:
    """Prepare a run's part of a joint pass through a tower with this many blocks."""
    prompts = [
        next((made for part in parts if (made := part.image_prompts(place)) is not None), None)
        for place in range(blocks)
    ]
    return Forward(images, parts, tuple(prompts))


def draws_at_random(parts: Sequence[nn.Module]) -> bool:
    """Return whether a part draws random numbers in the tower; then its run must encode its images alone."""
    return any(isinstance(module, nn.modules.dropout._DropoutNd) for part in parts for module in part.modules())


def encode_together(encode: Callable[[Tensor, Sequence[Any]], Tensor], runs: Sequence[Forward]) -> list[Tensor]:
    """Encode the images of several runs, each with its parts, in one pass for all runs with prompts of the same shape.

    Parameters
    ----------
    encode
        Encodes normalised images with the hooks of parts.
    runs
        What each run brings.

    Returns
    -------
    list of Tensor
        The features of each run, (N, D).
    """
    groups = defaultdict(list)
    for place, run in enumerate(runs):
        groups[run.shape].append(place)
    found: dict[int, Tensor] = {}
    for places in groups.values():
        own = [runs[place] for place in places]
        if len(own) == 1:
            features = [encode(own[0].images, own[0].parts)]
        else:
            merged = _Merged(own)
            features = list(encode(torch.cat([run.images for run in own]), [merged]).split(merged.sizes))
        found |= dict(zip(places, features, strict=True))
    return [found[place] for place in range(len(runs))]


class _Merged:
    """The parts of several runs as one part: each run's images pass through its own parts only."""

    def __init__(self, runs: Sequence[Forward]) -> None:
        self.runs, self.sizes = runs, [len(run.images) for run in runs]

    def before_block(self, index: int, tokens: Tensor) -> Tensor:
        """Change each run's tokens by its parts."""
        if not self._any("before_block"):
            return tokens
        made = []
        for run, own in zip(self.runs, tokens.split(self.sizes), strict=True):
            for part in run.parts:
                own = part.before_block(index, own)
            made.append(own)
        return torch.cat(made)

    def image_prompts(self, index: int) -> Tensor | None:
        """Return each image the prompts of its run, (N, P, width)."""
        prompts = [run.prompts[index] for run in self.runs]
        given = [one for one in prompts if one is not None]
        return _merged(given, self.sizes) if given else None

    def adapt_prompts(self, index: int, tokens: Tensor, prompts: Tensor) -> Tensor:
        """Change each run's prompts by its parts."""
        if not self._any("adapt_prompts"):
            return prompts
        made = []
        for run, seen, own in zip(self.runs, tokens.split(self.sizes), prompts.split(self.sizes), strict=True):
            # What is the same for all images of a run is computed once; the first block's prompts were normalised.
            fresh = run.prompts[index] if index else None
            own = own if fresh is None else fresh
            for part in run.parts:
                own = part.adapt_prompts(index, seen, own)
            made.append(own)
        return _merged(made, self.sizes)

    def _any(self, hook: str) -> bool:
        return any(part.overrides(hook) for run in self.runs for part in run.parts)


def _merged(prompts: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    return torch.cat([per_image(own, size) for own, size in zip(prompts, sizes, strict=True)])
