"""Image filters that disguise the images of one domain as those of another; nothing in them is trained."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Filter = Callable[[Tensor], Tensor]
LUMA = (0.299, 0.587, 0.114)
LEVELS = 4
"""Brightness levels per channel after posterisation."""
BLUR = 1.0
"""Standard deviation of the narrow Gaussian blur, in pixels of the model's input; the wide one has twice this."""


def filters(images: Tensor, target: Tensor) -> dict[str, Filter]:
    """Return the filters by name.

    Parameters
    ----------
    images, target
        Images of the domain to disguise and of the domain to imitate, uint8 (N, 3, S, S) and (M, 3, S, S); the mean
        and the standard deviation of their channels are read.

    Returns
    -------
    dict
        Filters that map floating images (N, 3, S, S) in 0..1 to new ones; ``none`` changes nothing.
    """
    mean, std = _statistics(images)
    wanted_mean, wanted_std = _statistics(target)
    return {
        "none": lambda x: x,
        "grey": lambda x: _saturated(x, 0.0),
        "half saturation": lambda x: _saturated(x, 0.5),
        "double saturation": lambda x: _saturated(x, 2.0),
        "half contrast": lambda x: _contrast(x, 0.5),
        "double contrast": lambda x: _contrast(x, 2.0),
        "blur": lambda x: _blurred(x, BLUR),
        "wide blur": lambda x: _blurred(x, 2 * BLUR),
        "sharpen": lambda x: 2 * x - _blurred(x, BLUR),
        "posterise": lambda x: (x * (LEVELS - 1)).round() / (LEVELS - 1),
        "edges": lambda x: 1 - _edges(x),
        "invert": lambda x: 1 - x,
        "colour statistics": lambda x: (x - mean) / std * wanted_std + wanted_mean,
    }


def apply_filter(chosen: Filter, images: Tensor) -> Tensor:
    """Return filtered images, uint8, of images (N, 3, S, S), uint8."""
    return (chosen(images.float() / 255).clamp(0, 1) * 255).round().to(torch.uint8)


def _statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    values = images.float() / 255
    mean = values.mean(dim=(0, 2, 3), keepdim=True)
    return mean, values.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-3)


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, device=images.device)[:, None, None]
    return (images * weights).sum(dim=1, keepdim=True)


def _saturated(images: Tensor, factor: float) -> Tensor:
    grey = _grey(images)
    return grey + factor * (images - grey)


def _contrast(images: Tensor, factor: float) -> Tensor:
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + factor * (images - middle)


def _blurred(images: Tensor, sigma: float) -> Tensor:
    radius = round(3 * sigma)
    places = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-(places**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    wide = F.pad(images, [radius] * 4, mode="replicate")
    return F.conv2d(F.conv2d(wide, kernel, groups=3), kernel.transpose(-1, -2), groups=3)


def _edges(images: Tensor) -> Tensor:
    """Return the strength of edges, 0..1, the same in all channels: the length of the Sobel gradient."""
    kernel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], device=images.device) / 4
    both = torch.stack([kernel, kernel.T])[:, None]
    slopes = F.conv2d(F.pad(_grey(images), [1] * 4, mode="replicate"), both)
    return slopes.square().sum(dim=1, keepdim=True).sqrt().clamp(0, 1).expand(-1, 3, -1, -1)
