"""Data sets by name: their index and their images, drawn or read from files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from adu_bench.core.errors import UserError, unknown
from adu_bench.data import emoji, prepared, toy
from adu_bench.data.cache import cached
from adu_bench.data.decode import BadImage, decode
from adu_bench.data.files import read
from adu_bench.data.image_cache import ImageCache, TrainingImageCache
from adu_bench.data.index import data_hash
from adu_bench.data.prepare.description import describe, described
from adu_bench.data.prepared import Prepared
from adu_bench.data.preprocessing import Preprocessing


@dataclass(frozen=True)
class Source:
    """A data set: image files below a folder, or drawings.

    Parameters
    ----------
    name, title
        Name in suites, and one line for people.
    attribution
        Whom to credit, and under which licences; empty where adu-bench made the images.
    domains
        Domain names in the order of domain indices.
    read_index
        Returns the index; see `adu_bench.data.index`.  For images in files it has a column ``path`` (below ``root``,
        with ``/``), and ``sha256`` is that of the file's bytes.
    draw
        Returns the master images of index rows, uint8, (N, H, W, 3); None where they are files.
    check
        Raises a `UserError` where drawings differ from the index.
    root
        Folder of the image files; None where they are drawn.
    """

    name: str
    title: str
    attribution: str
    domains: tuple[str, ...]
    read_index: Callable[[], pd.DataFrame]
    draw: Callable[[pd.DataFrame], np.ndarray] | None = None
    check: Callable[[pd.DataFrame, np.ndarray], None] | None = None
    root: Path | None = None

    @cached_property
    def index(self) -> pd.DataFrame:
        """The index, one row per image; its row order is that of `pixels`."""
        return self.read_index()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """All class names, sorted."""
        return tuple(sorted(self.index["label"].unique()))

    @cached_property
    def identity(self) -> str:
        """Digest of the whole index; part of the name of cached images."""
        return data_hash(self.index)

    @cached_property
    def pixels(self) -> np.ndarray:
        """The drawn master images, uint8, (N, H, W, 3): drawn and checked once, then memory-mapped."""
        return cached(f"images/{self.name}-{self.identity}", self._make)

    def master(self, position: int) -> Image.Image:
        """Return an image as it was drawn, or as it is in its file.

        Raises
        ------
        BadImage
            If its file is damaged, or is no longer the one that was indexed.
        """
        if self.root is None:
            return Image.fromarray(self.pixels[position])
        data = read(self.root / self._names[position])
        if hashlib.sha256(data).hexdigest() != self._sha256[position]:
            raise BadImage("not the file that was prepared")
        return decode(data)

    def images(self, preprocessing: Preprocessing) -> ImageCache:
        """Return the images as a backbone takes them.

        Raises
        ------
        UserError
            If the folder of the files is missing, or the cache folder cannot be used.
        """
        self._require_folder()
        return ImageCache(self.name, self._names, self._sha256, self.master, preprocessing)

    def training_images(self, preprocessing: Preprocessing) -> TrainingImageCache:
        """Return the images with their full extent, to cut random crops from; errors as in `images`."""
        self._require_folder()
        return TrainingImageCache(self.name, self._names, self._sha256, self.master, preprocessing)

    def _require_folder(self) -> None:
        if self.root is not None and not self.root.is_dir():
            raise UserError(
                f"The images of '{self.name}' are missing.",
                f"'{self.root}' is not a folder.",
                f"adu-bench data prepare {self.name} --from DIR",
            )

    @cached_property
    def _names(self) -> np.ndarray:
        """What to call each image: its path where it is a file; object, (N,), as looking up a table is slow."""
        return self.index["image" if self.root is None else "path"].to_numpy(object)

    @cached_property
    def _sha256(self) -> np.ndarray:
        return self.index["sha256"].to_numpy(object)

    def _make(self) -> np.ndarray:
        assert self.draw is not None
        images = self.draw(self.index)
        if self.check is not None:
            self.check(self.index, images)
        return images


_SOURCES = {
    source.name: source
    for source in (
        Source(
            name="emoji",
            title="Emoji of 16 classes by three artists in four styles (suites use 15)",
            attribution=(
                "OpenMoji (CC BY-SA 4.0), Twemoji by Twitter and contributors (CC BY 4.0), "
                "Noto Emoji by Google (SIL OFL 1.1)"
            ),
            domains=tuple(emoji.HANDS),
            read_index=emoji.load_index,
            draw=emoji.render,
            check=emoji.verify,
        ),
        Source(
            name="toy",
            title="Drawn shapes in drawn styles, made in memory",
            attribution="",
            domains=toy.STYLES,
            read_index=toy.load_index,
            draw=toy.render,
        ),
    )
}


@dataclass(frozen=True)
class Outline:
    """What is known about a data set, whether or not it is prepared: enough to list what a suite would run.

    Parameters
    ----------
    name
        Name of the data set.
    domains, classes
        The domains in order; the class names, sorted.
    ready
        Whether its images are on this machine.
    """

    name: str
    domains: tuple[str, ...]
    classes: tuple[str, ...]
    ready: bool


def drawn_names() -> tuple[str, ...]:
    """Return the names of the data sets that need no preparation."""
    return tuple(_SOURCES)


def outline(name: str) -> Outline:
    """Return what is known about a data set.

    Raises
    ------
    UserError
        If there is no data set of that name.
    """
    if name in _SOURCES:
        return Outline(name, _SOURCES[name].domains, _SOURCES[name].classes, True)
    made = prepared.read(name)
    if made is not None:
        return Outline(name, made.domains, made.classes, True)
    if name in described():
        return Outline(name, tuple(describe(name).domains), describe(name).classes, False)
    raise unknown("data set", name, {*_SOURCES, *described(), *prepared.prepared_names()})


def open_source(name: str) -> Source:
    """Return a data set by name.

    Raises
    ------
    UserError
        If there is no data set of that name, or its images are not on this machine.
    """
    if name in _SOURCES:
        return _SOURCES[name]
    if not outline(name).ready:
        raise prepared.not_prepared(name)
    return _prepared(prepared.require(name))


@cache
def _prepared(made: Prepared) -> Source:
    return Source(made.name, made.title, made.attribution, made.domains, made.read_index, root=made.root)
