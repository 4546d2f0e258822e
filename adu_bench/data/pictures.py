"""A data set's pictures as a backbone wants them: resized once, then read from disk without decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
from PIL import Image

from adu_bench.core.errors import UserError
from adu_bench.data.decode import DECODING, BadPicture, quiet
from adu_bench.data.parallel import Progress, in_order, silent
from adu_bench.data.preprocessing import Preprocessing
from adu_bench.data.rows import Block, RowCache, keys_of

BLOCK = 32 * 2**20
"""Bytes of pictures that are written, and may be lost by a kill, at once."""


class Pictures:
    """A data set's pictures, preprocessed when they are first asked for.

    Parameters
    ----------
    name
        The data set.
    names
        What to call each picture that cannot be used, object, (N,).
    sha256
        Digest of each picture's content, object, (N,); equal content is stored once, also across data sets.
    picture
        Returns a master picture, given its position; raises `BadPicture`.
    preprocessing
        What the backbone wants.
    """

    def __init__(
        self,
        name: str,
        names: np.ndarray,
        sha256: np.ndarray,
        picture: Callable[[int], Image.Image],
        preprocessing: Preprocessing,
    ) -> None:
        self.name, self.preprocessing = name, preprocessing
        self._names, self._sha256, self._picture = names, sha256, picture
        self._cache = RowCache(
            f"pixels/{preprocessing.size}-{preprocessing.interpolation}-{preprocessing.resize_mode}-{DECODING}",
            (preprocessing.size, preprocessing.size, 3),
            np.uint8,
            {"rows": "pictures, RGB", "preprocessing": asdict(preprocessing), "decoding": DECODING},
        )

    def ensure(self, positions: np.ndarray, report: Progress = silent) -> None:
        """Decode and resize pictures that are not in the cache.

        Parameters
        ----------
        positions
            Rows of the index, int64 (N,).
        report
            Called with the numbers of pictures ready and asked for.

        Raises
        ------
        UserError
            If pictures cannot be used; it names all of them.
        """
        bad: list[str] = []
        self._cache.ensure(self.keys(positions), lambda which: self._blocks(positions[which], which, bad), report)
        if bad:
            raise UserError(
                f"{len(bad)} of {len(positions):,} pictures of '{self.name}' cannot be used:\n" + "\n".join(bad) + "\n",
                "They are damaged, or have changed since the data set was prepared.",
                f"Mend them, or leave them out: adu-bench data prepare {self.name} --skip-bad",
            )

    def take(self, positions: np.ndarray, report: Progress = silent) -> np.ndarray:
        """Return pictures, uint8, (N, size, size, 3); arguments and errors as in `ensure`."""
        self.ensure(positions, report)
        return self.rows[self.places(positions)]

    @property
    def rows(self) -> np.ndarray:
        """All pictures of the cache that this preprocessing made, uint8, (M, size, size, 3), memory-mapped."""
        return self._cache.rows

    def places(self, positions: np.ndarray) -> np.ndarray:
        """Return where in `rows` pictures are, int64 (N,); `ensure` comes first."""
        return self._cache.places(self.keys(positions))

    def keys(self, positions: np.ndarray) -> np.ndarray:
        """Return the keys under which pictures, and whatever else is computed from them, are stored, (N,)."""
        return keys_of(self._sha256[positions])

    def _blocks(self, positions: np.ndarray, which: np.ndarray, bad: list[str]) -> Iterator[Block]:
        size = max(1, BLOCK // (3 * self.preprocessing.size**2))
        done: list[int] = []
        rows = np.empty((size, self.preprocessing.size, self.preprocessing.size, 3), np.uint8)
        with quiet():
            for place, position, made in zip(which, positions, in_order(self._made, positions), strict=True):
                if isinstance(made, BadPicture):
                    bad.append(f"  {self._names[position]}: {made}")
                    continue
                rows[len(done)] = made
                done.append(place)
                if len(done) == size:
                    yield np.array(done), rows
                    done = []
        if done:
            yield np.array(done), rows[: len(done)]

    def _made(self, position: int) -> np.ndarray | BadPicture:
        try:
            return self.preprocessing.apply(self._picture(position))
        except BadPicture as error:
            return error
