"""Random-resized-crop and horizontal flip: boxes for a whole epoch on the CPU, pixels in batches on the device."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

ASPECT = (3 / 4, 4 / 3)
"""Smallest and largest aspect ratio (width over height) of a crop."""
ATTEMPTS = 10
"""Number of boxes that are tried for each image before the central crop is used."""
CPU_BYTES = 2**24
"""Bytes of float32 canvases that are cropped at a time on a CPU; larger blocks are slower because of new memory."""


def draw_crops(extents: Tensor, smallest: float, rng: torch.Generator) -> Tensor:
    """Draw one random crop for each image, distributed as torchvision's ``RandomResizedCrop`` draws them.

    Boxes have whole pixels of the original image.  The area is uniform between ``smallest`` and the whole image, the
    aspect ratio log-uniform between 3/4 and 4/3.  The first of ten boxes that fits into the image is placed at a random
    position; if none fits, the crop is the largest central one whose aspect ratio is in the range.  With ``smallest`` 1
    only boxes of the full area can fit: images with an aspect ratio between 3/4 and 4/3 are used whole (up to the
    rounding of sides), longer ones are cropped centrally to 4/3 or 3/4.

    Parameters
    ----------
    extents
        (N, 4), integers on the CPU: width and height on the canvas, width and height of the original image, in pixels;
        see `Preprocessing.full`.
    smallest
        Smallest share of the image's area that a crop covers, above 0, at most 1 (the released code uses 0.08).
    rng
        CPU generator.

    Returns
    -------
    Tensor
        (N, 5), float32 on the CPU: left, top, width and height of the box in canvas pixels, and 1 where the crop is
        to be mirrored, else 0.
    """
    canvas, original = extents.to(torch.float64).split(2, dim=1)
    width, height = original.unbind(1)
    count = len(extents)
    area, aspect = torch.rand(2, ATTEMPTS, count, generator=rng, dtype=torch.float64)
    left, top, mirror = torch.rand(3, count, generator=rng, dtype=torch.float64)
    area = (smallest + (1 - smallest) * area) * width * height
    low, high = map(math.log, ASPECT)
    aspect = torch.exp(low + (high - low) * aspect)
    widths, heights = torch.sqrt(area * aspect).round(), torch.sqrt(area / aspect).round()
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    # The central crop comes after the ten boxes, so that there is always a row that fits.
    widths = torch.cat([widths, torch.minimum(width, (height * ASPECT[1]).round())[None]])
    heights = torch.cat([heights, torch.minimum(height, (width / ASPECT[0]).round())[None]])
    first = torch.where(fits.any(0), fits.int().argmax(0), ATTEMPTS)
    size = torch.stack([rows.gather(0, first[None])[0] for rows in (widths, heights)], dim=1)
    room = original - size
    corner = torch.where(
        (first == ATTEMPTS)[:, None], (room / 2).floor(), (torch.stack([left, top], dim=1) * (room + 1)).floor()
    )
    scale = canvas / original
    flip = (mirror < 0.5).to(torch.float64)[:, None]
    return torch.cat([corner * scale, size * scale, flip], dim=1).to(torch.float32)


def crop_and_flip(canvases: Tensor, crops: Tensor, size: int) -> Tensor:
    """Cut crops out, resize them to squares, and mirror some.

    The filter is Pillow's bicubic (a = -0.5) with antialiasing: its support grows with the scale, it does not reach
    beyond the crop, and values are clamped after the horizontal pass as well as after the vertical one.  Pixels at the
    border of a crop count by the share that the crop covers.  No step waits for the device.

    Parameters
    ----------
    canvases
        (N, W, H, 3), uint8: columns of pixels, as `Preprocessing.full` returns them.  Columns and rows outside all
        crops of the batch may be cut off, which saves time.
    crops
        (N, 5), float32 on the same device, as `draw_crops` returns them.
    size
        Side of the result in pixels.

    Returns
    -------
    Tensor
        (N, 3, size, size), float32 in 0..1, also under autocast.
    """
    at_once = len(canvases)
    if canvases.device.type == "cpu":
        at_once = max(1, CPU_BYTES // (4 * canvases[0].numel()))
    parts = zip(canvases.split(at_once), crops.split(at_once), strict=True)
    return torch.cat([_crop(part, boxes, size) for part, boxes in parts])


def _crop(canvases: Tensor, crops: Tensor, size: int) -> Tensor:
    count, _, height, _ = canvases.shape
    left, top, width, length, mirror = crops[..., None].unbind(1)
    columns = canvases.to(torch.float32).flatten(2)
    columns = _resampled(columns, left, width, mirror, size).clamp_(0, 255)
    rows = columns.view(count, size, height, 3).transpose(1, 2).flatten(2)
    rows = _resampled(rows, top, length, torch.zeros_like(mirror), size).div_(255).clamp_(0, 1)
    return rows.view(count, size, size, 3).permute(0, 3, 1, 2).contiguous()


def _resampled(lines: Tensor, start: Tensor, length: Tensor, mirror: Tensor, size: int) -> Tensor:
    """Resample lines of pixels, (N, L, D) float32, between ``start`` and ``start + length``, (N, 1), to (N, size, D).

    Each new line is a weighted sum of a few old ones, which is what an embedding bag computes.
    """
    count, total, _ = lines.shape
    device = lines.device
    scale = length / size
    stretch = scale.clamp_min(1)
    centre = start + ((torch.arange(size, device=device) + 0.5) / size - mirror).abs() * length
    # The largest scale is known on the CPU, since no crop is longer than its canvas.
    taps = torch.arange(math.ceil(4 * max(1.0, total / size)) + 1, device=device)
    place = (centre - 2 * stretch).floor()[..., None] + taps
    weights = _bicubic((place + 0.5 - centre[..., None]) / stretch[..., None])
    start, end = start[..., None], (start + length)[..., None]
    weights *= (torch.minimum(place + 1, end) - torch.maximum(place, start)).clamp_(0, 1)
    weights /= weights.sum(-1, keepdim=True)
    offsets = torch.arange(0, count * total, total, device=device)[:, None, None]
    bags = (place.long().clamp_(0, total - 1) + offsets).flatten(0, 1)
    table = lines.reshape(count * total, -1)
    return F.embedding_bag(bags, table, per_sample_weights=weights.flatten(0, 1), mode="sum").view(count, size, -1)


def _bicubic(x: Tensor) -> Tensor:
    x = x.abs().clamp_max_(2)
    return torch.where(x < 1, (1.5 * x - 2.5) * x * x + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2)
