"""How a picture becomes a backbone's input: the only part of picture handling that changes results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True)
class Preprocessing:
    """How pictures become a backbone's input.

    Parameters
    ----------
    size
        Side of the square result in pixels.
    interpolation
        ``bicubic``, ``bilinear`` or ``nearest``.
    resize_mode
        ``shortest`` (shortest side to ``size``, then centre crop) or ``squash``, as open_clip names them.
    """

    size: int
    interpolation: str
    resize_mode: str

    def apply(self, picture: Image.Image) -> np.ndarray:
        """Resize one picture to uint8, (size, size, 3)."""
        picture = picture.convert("RGB")
        resample = FILTERS[self.interpolation]
        if self.resize_mode == "squash":
            return np.asarray(picture.resize((self.size, self.size), resample))
        # Truncated sides and a rounded offset, as in torchvision, whose pixels the pre-trained backbones know.
        shortest = min(picture.size)
        width, height = (self.size * side // shortest for side in picture.size)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        if picture.size != (width, height):
            picture = picture.resize((width, height), resample)
        return np.asarray(picture.crop((left, top, left + self.size, top + self.size)))
