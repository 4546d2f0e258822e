"""The bytes of an image file become RGB pixels, or are refused with a reason."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

DECODING = 1
"""Version of how bytes become RGB; part of the name of every cache of their pixels."""
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""The formats that are read, whatever a file's name says.  Pillow knows more, and runs other programs for some."""
LARGEST_IMAGE = 2 * 89_478_485
"""Pixels above which Pillow refuses an image by default."""
LARGEST_RATIO = 200
"""Largest aspect ratio: longer images, resized by their shorter side, would not fit into memory."""


class BadImage(ValueError):
    """A file that is not a usable image; the message is the reason, in a few words."""


def decode(data: bytes) -> Image.Image:
    """Return the image in a file's bytes as RGB.

    Modes become RGB as Pillow's ``convert("RGB")`` makes them, as in the loaders that pre-trained backbones are used
    with: colours under transparency come out as they are stored, CMYK of JPEG files counts as inverted (Adobe's
    convention), and an orientation tag is ignored except in TIFF files.  Sixteen-bit greys keep their upper eight
    bits, as Pillow does for sixteen-bit colours; ``convert`` would make most of them white.

    Raises
    ------
    BadImage
        With the reason.
    """
    return to_rgb(load(data))


def load(data: bytes) -> Image.Image:
    """Return the image in a file's bytes in its own mode, with what the file says about it.

    Raises
    ------
    BadImage
        With the reason.
    """
    if not data:
        raise BadImage("empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(*image.size)
        image.load()
        return image
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(f"not an image ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise BadImage(f"more than {LARGEST_IMAGE:,} pixels") from error
    except Exception as error:  # a codec may raise anything on a damaged file
        raise BadImage(f"damaged: {error or type(error).__name__}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a loaded image as RGB; see `decode`."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise BadImage("32-bit values, whose range is not known")
    return image.convert("RGB")


def _check_size(width: int, height: int) -> None:
    if width * height > LARGEST_IMAGE:
        raise BadImage(f"more than {LARGEST_IMAGE:,} pixels")
    if max(width, height) > LARGEST_RATIO * min(width, height):
        raise BadImage(f"aspect ratio above {LARGEST_RATIO}:1 ({width} x {height})")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings: what matters raises, and a pool of threads would repeat the rest for each image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
