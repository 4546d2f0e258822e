"""A data set's images as a backbone takes them: resized once, then read from disk without decoding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from PIL import Image

from adu_bench.core.errors import UserError
from adu_bench.core.progress import Count, uncounted
from adu_bench.data.decode import DECODING, BadImage, quiet
from adu_bench.data.parallel import in_order
from adu_bench.data.preprocessing import CANVAS_FILTER, Preprocessing
from adu_bench.data.rows import Block, RowCache, keys_of

BLOCK = 32 * 2**20
"""Bytes of images that are written at once, and that a kill may lose."""


class _Cache(ABC):
    """Rows made from images, one per image, when they are first asked for.

    Parameters
    ----------
    name
        The data set.
    names
        What to call each image that cannot be used, object, (N,).
    sha256
        Digest of each image's content, object, (N,); equal content is stored once, also across data sets.
    image
        Returns an image as its file holds it, given its position; raises `BadImage`.
    preprocessing
        What the backbone takes.
    """

    def __init__(
        self,
        name: str,
        names: np.ndarray,
        sha256: np.ndarray,
        image: Callable[[int], Image.Image],
        preprocessing: Preprocessing,
    ) -> None:
        self.name, self.preprocessing = name, preprocessing
        self._names, self._sha256, self._image = names, sha256, image
        folder, shape, about = self._layout()
        self._cache = RowCache(f"{folder}-{DECODING}", shape, np.uint8, {**about, "decoding": DECODING})

    def ensure(self, positions: np.ndarray, report: Count = uncounted) -> None:
        """Decode and resize the images that are not in the cache.

        Parameters
        ----------
        positions
            Rows of the index, int64 (N,).
        report
            Called with the numbers of images ready and asked for.

        Raises
        ------
        UserError
            If images cannot be used; it names all of them.
        """
        bad: list[str] = []
        self._cache.ensure(self.keys(positions), lambda which: self._blocks(positions[which], which, bad), report)
        if bad:
            raise UserError(
                f"{len(bad)} of {len(positions):,} images of '{self.name}' cannot be used:\n" + "\n".join(bad) + "\n",
                "They are damaged, or have changed since the data set was prepared.",
                f"Repair them, or leave them out: adu-bench data prepare {self.name} --skip-bad",
            )

    @property
    def rows(self) -> np.ndarray:
        """All rows of the cache that this preprocessing made, uint8, (M, ...), memory-mapped."""
        return self._cache.rows

    def places(self, positions: np.ndarray) -> np.ndarray:
        """Return where in `rows` images are, int64 (N,); call `ensure` first."""
        return self._cache.places(self.keys(positions))

    def keys(self, positions: np.ndarray) -> np.ndarray:
        """Return the keys under which images, and what is computed from them, are stored, (N,)."""
        return keys_of(self._sha256[positions])

    @abstractmethod
    def _layout(self) -> tuple[str, tuple[int, ...], dict[str, Any]]:
        """Return the cache's folder, the shape of a row, and what the rows are."""

    @abstractmethod
    def _row(self, image: Image.Image) -> np.ndarray:
        """Return the row of an image."""

    def _blocks(self, positions: np.ndarray, which: np.ndarray, bad: list[str]) -> Iterator[Block]:
        shape = self._cache.shape
        size = max(1, BLOCK // int(np.prod(shape)))
        done: list[int] = []
        rows = np.empty((size, *shape), np.uint8)
        with quiet():
            for place, position, made in zip(which, positions, in_order(self._made, positions), strict=True):
                if isinstance(made, BadImage):
                    bad.append(f"  {self._names[position]}: {made}")
                    continue
                rows[len(done)] = made
                done.append(place)
                if len(done) == size:
                    yield np.array(done), rows
                    done = []
        if done:
            yield np.array(done), rows[: len(done)]

    def _made(self, position: int) -> np.ndarray | BadImage:
        try:
            return self._row(self._image(position))
        except BadImage as error:
            return error


class ImageCache(_Cache):
    """Preprocessed images: `rows` is uint8, (M, size, size, 3)."""

    def take(self, positions: np.ndarray, report: Count = uncounted) -> np.ndarray:
        """Return images, uint8, (N, size, size, 3); arguments and errors as in `ensure`."""
        self.ensure(positions, report)
        return self.rows[self.places(positions)]

    def _layout(self) -> tuple[str, tuple[int, ...], dict[str, Any]]:
        preprocessing = self.preprocessing
        folder = f"pixels/{preprocessing.size}-{preprocessing.interpolation}-{preprocessing.resize_mode}"
        about = {"rows": "images, RGB", "preprocessing": asdict(preprocessing)}
        return folder, (preprocessing.size, preprocessing.size, 3), about

    def _row(self, image: Image.Image) -> np.ndarray:
        return self.preprocessing.apply(image)


class TrainingImageCache(_Cache):
    """Whole images on canvases, with their extents; see `Preprocessing.full`.

    A row is one record of bytes: the canvas, then its extent.
    """

    def take(self, positions: np.ndarray, report: Count = uncounted) -> tuple[np.ndarray, np.ndarray]:
        """Return images to cut random crops from; arguments and errors as in `ensure`.

        Returns
        -------
        canvases
            (N, W, H, 3), uint8, columns first; W and H are the largest width and height on a canvas among these
            images, so that no image is cut.
        extents
            (N, 4), int32: width and height on the canvas, width and height of the original image, in pixels.
        """
        self.ensure(positions, report)
        side, places, extents = self.preprocessing.canvas, self.places(positions), self.extents(positions)
        pixels = 3 * side**2
        width, height = extents[:, :2].max(axis=0)
        canvases = np.empty((len(places), width, height, 3), np.uint8)
        for canvas, place in zip(canvases, places, strict=True):
            canvas[:] = self.rows[place, :pixels].reshape(side, side, 3)[:width, :height]
        return canvases, extents

    def extents(self, positions: np.ndarray) -> np.ndarray:
        """Return the extents alone, int32 (N, 4); see `take`, and call `ensure` first."""
        endings = self.rows[:, 3 * self.preprocessing.canvas**2 :]
        return np.ascontiguousarray(endings[self.places(positions)]).view(np.int32)

    def _layout(self) -> tuple[str, tuple[int, ...], dict[str, Any]]:
        side = self.preprocessing.canvas
        about = {"rows": "whole images, RGB, columns first, then 4 int32: size on the canvas, original size"}
        return f"canvases/{side}-{CANVAS_FILTER.name.lower()}", (3 * side**2 + 16,), about

    def _row(self, image: Image.Image) -> np.ndarray:
        canvas, extent = self.preprocessing.full(image)
        return np.concatenate([canvas.ravel(), extent.view(np.uint8)])
