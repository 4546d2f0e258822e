"""Random-resized-crop and flip for a whole batch at once, on the images' device."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

ASPECT = (3 / 4, 4 / 3)


def crop_and_flip(images: Tensor, smallest: float, rng: torch.Generator) -> Tensor:
    """Crop each image at random, stretch the crop to full size, and mirror every other one.

    Parameters
    ----------
    images
        (N, 3, S, S), uint8.
    smallest
        Smallest share of the area that a crop covers, in 0..1 (the released code uses 0.08); 1 leaves whole images.
    rng
        CPU generator: the same draws on every device.

    Returns
    -------
    Tensor
        (N, 3, S, S), float32 in 0..1.
    """
    count = len(images)
    area, aspect, left, top, mirror = torch.rand(5, count, generator=rng)
    area = smallest + (1 - smallest) * area
    low, high = math.log(ASPECT[0]), math.log(ASPECT[1])
    ratio = torch.exp((low + (high - low) * aspect) / 2)
    width, height = (area.sqrt() * ratio).clamp_max(1), (area.sqrt() / ratio).clamp_max(1)
    if smallest == 1:
        width = height = torch.ones(count)
    # In grid_sample's coordinates the image spans -1..1; a crop of share w may be centred within +-(1 - w).
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = torch.where(mirror < 0.5, -width, width)
    theta[:, 1, 1] = height
    theta[:, 0, 2] = (1 - width) * (2 * left - 1)
    theta[:, 1, 2] = (1 - height) * (2 * top - 1)
    grid = F.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    source = images.to(torch.float32) / 255
    return F.grid_sample(source, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp_(0, 1)
