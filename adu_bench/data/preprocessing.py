"""How an image becomes a backbone's input: the only part of image handling that changes results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
CANVAS = 2
"""Side of a training image's canvas, in sides of the backbone's input."""
CANVAS_FILTER = Image.Resampling.LANCZOS
"""The one of Pillow's filters that leaves crops closest to those of the original (tests/training/test_augment.py)."""


@dataclass(frozen=True)
class Preprocessing:
    """How images become a backbone's input.

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

    @property
    def canvas(self) -> int:
        """Side of a training image's canvas in pixels."""
        return CANVAS * self.size

    def apply(self, image: Image.Image) -> np.ndarray:
        """Resize one image to uint8, (size, size, 3)."""
        image = image.convert("RGB")
        resample = FILTERS[self.interpolation]
        if self.resize_mode == "squash":
            return np.asarray(image.resize((self.size, self.size), resample))
        # Truncated sides and a rounded offset, as in torchvision, whose pixels the pre-trained backbones know.
        shortest = min(image.size)
        width, height = (self.size * side // shortest for side in image.size)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        if image.size != (width, height):
            image = image.resize((width, height), resample)
        return np.asarray(image.crop((left, top, left + self.size, top + self.size)))

    def full(self, image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
        """Put the whole image on a canvas from which random crops are cut while a method trains.

        The longer side is shrunk to that of the canvas where it is longer; no image is enlarged.

        Parameters
        ----------
        image
            In any mode that Pillow converts to RGB.

        Returns
        -------
        canvas
            (canvas, canvas, 3), uint8, the image in its first columns and rows and zero elsewhere.  Columns come
            first, ``canvas[x, y]``, since crops are resampled horizontally first, as Pillow does.
        extent
            (4,), int32: width and height on the canvas, width and height of the image, in pixels.
        """
        image = image.convert("RGB")
        longest = max(image.size)
        width, height = image.size
        if longest > self.canvas:
            width, height = (max(1, round(side * self.canvas / longest)) for side in image.size)
        pixels = np.zeros((self.canvas, self.canvas, 3), np.uint8)
        shrunk = image if image.size == (width, height) else image.resize((width, height), CANVAS_FILTER)
        pixels[:width, :height] = np.asarray(shrunk).swapaxes(0, 1)
        return pixels, np.array([width, height, *image.size], np.int32)
