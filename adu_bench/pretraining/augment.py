"""Style augmentation: random geometry and colours, and imitations of line drawings, glyphs and dark backgrounds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(
    pixels: Tensor, strength: float, rng: torch.Generator, geometry: Callable[[Tensor, torch.Generator], Tensor]
) -> Tensor:
    """Augment the geometry and the style of a batch.

    Parameters
    ----------
    pixels
        (N, 3, S, S), uint8.
    strength
        Factor on the probability of each change except geometry.
    rng
        CPU generator.
    geometry
        The geometric augmentation: `moved` for drawings on white, another one for images that fill their frame.

    Returns
    -------
    Tensor
        (N, 3, S, S), float32 in 0..1.
    """
    images = geometry(pixels, rng)
    for share, change in (
        (0.5, _other_colours),
        (0.25, _grey),
        (0.22, _lines),
        (0.12, _glyphs),
        (0.15, _strokes),
        (0.08, _inverted),
        (0.08, _tinted),
        (0.3, _holes),
    ):
        images = _some(images, share * strength, rng, change)
    return images.clamp(0, 1)


def _some(images: Tensor, share: float, rng: torch.Generator, change) -> Tensor:
    rows = torch.rand(len(images), generator=rng) < share
    if rows.any():
        images = images.clone()
        images[rows] = change(images[rows], rng)
    return images


def _uniform(count: int, low: float, high: float, rng: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=rng)


def moved(pixels: Tensor, rng: torch.Generator) -> Tensor:
    """Rotate, shear, scale, shift and mirror drawings on white: uint8 (N, 3, S, S) to float32 in 0..1."""
    images = pixels.float() / 255
    count = len(images)
    turn, shear, grow, left, top, mirror, stretch = torch.rand(7, count, generator=rng) * 2 - 1
    angle, scale = turn * 0.3, torch.exp(-0.05 + grow * 0.3)
    flip = torch.where(mirror < 0, -1.0, 1.0)
    x_scale, y_scale = torch.exp(stretch * 0.12) / scale, torch.exp(-stretch * 0.12) / scale
    theta = torch.stack(
        [
            torch.stack([flip * angle.cos() * x_scale, (shear * 0.2 - angle.sin()) * x_scale, left * 0.18], dim=1),
            torch.stack([flip * angle.sin() * y_scale, angle.cos() * y_scale, top * 0.18], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    # The area outside the image is white: sample the negative, where it is zero.
    return 1 - F.grid_sample(1 - images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _other_colours(images: Tensor, rng: torch.Generator) -> Tensor:
    count = len(images)
    order = torch.rand(count, 3, generator=rng).argsort(dim=1)
    mixed = images.gather(1, order[:, :, None, None].expand_as(images))
    # A power between one half and two leaves white unchanged.
    return mixed.clamp_min(1e-4) ** torch.exp(_uniform(count, -0.7, 0.7, rng))


def _brightness(images: Tensor) -> Tensor:
    return (images * images.new_tensor([0.299, 0.587, 0.114])[None, :, None, None]).sum(dim=1, keepdim=True)


def _grey(images: Tensor, rng: torch.Generator) -> Tensor:
    return _brightness(images).expand_as(images)


def _inverted(images: Tensor, rng: torch.Generator) -> Tensor:
    return 1 - images


def _lines(images: Tensor, rng: torch.Generator) -> Tensor:
    grey = _brightness(images)
    edges = F.max_pool2d(grey, 3, 1, 1) + F.max_pool2d(-grey, 3, 1, 1)
    strength = _uniform(len(images), 1.5, 5.0, rng)
    lines = (1 - edges * strength).clamp(0, 1)
    # Dark strokes of the drawing stay dark in half of the images.
    dark = (grey / 0.35).clamp(0, 1)
    keep = torch.rand(len(images), 1, 1, 1, generator=rng) < 0.5
    return torch.where(keep, torch.minimum(lines, dark), lines).expand_as(images)


def _glyphs(images: Tensor, rng: torch.Generator) -> Tensor:
    level = _uniform(len(images), 0.35, 0.85, rng)
    return ((_brightness(images) - level) * 8 + 0.5).clamp(0, 1).expand_as(images)


def _strokes(images: Tensor, rng: torch.Generator) -> Tensor:
    thicker = -F.max_pool2d(-images, 3, 1, 1)
    thinner = F.max_pool2d(images, 3, 1, 1)
    mix = torch.rand(len(images), 1, 1, 1, generator=rng)
    choice = torch.rand(len(images), 1, 1, 1, generator=rng) < 0.65
    return images + mix * (torch.where(choice, thicker, thinner) - images)


def _tinted(images: Tensor, rng: torch.Generator) -> Tensor:
    return images * (0.4 + 0.6 * torch.rand(len(images), 3, 1, 1, generator=rng))


def _holes(images: Tensor, rng: torch.Generator) -> Tensor:
    count, size = len(images), images.shape[-1]
    left, top, width, height = torch.rand(4, count, 1, 1, generator=rng)
    place = torch.arange(size) / size
    across = (place[None, None, :] - left).abs() < 0.05 + 0.12 * width
    down = (place[None, :, None] - top).abs() < 0.05 + 0.12 * height
    fill = torch.rand(count, 3, 1, 1, generator=rng).round()
    return torch.where((across & down)[:, None], fill, images)
