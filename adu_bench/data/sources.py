"""Data sets by name: their index, their pictures, and where these come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from adu_bench.core.errors import unknown
from adu_bench.data import emoji, toy
from adu_bench.data.cache import cached
from adu_bench.data.index import data_hash


@dataclass(frozen=True)
class Source:
    """A data set.

    Parameters
    ----------
    name, title
        Name in suites, and one line for people.
    attribution
        Whom to credit, and under which licences; empty where nobody else made the pictures.
    domains
        Domain names in the order of domain indices.
    read_index
        Returns the index; see `adu_bench.data.index`.
    draw
        Returns the master pictures of index rows, uint8, (N, H, W, 3).
    check
        Raises a `UserError` where pictures differ from the index.
    """

    name: str
    title: str
    attribution: str
    domains: tuple[str, ...]
    read_index: Callable[[], pd.DataFrame]
    draw: Callable[[pd.DataFrame], np.ndarray]
    check: Callable[[pd.DataFrame, np.ndarray], None] | None = None

    @cached_property
    def index(self) -> pd.DataFrame:
        """The index, one row a picture; its row order is that of `pixels`."""
        return self.read_index()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """All class names, sorted."""
        return tuple(sorted(self.index["label"].unique()))

    @cached_property
    def identity(self) -> str:
        """Digest of the whole index; it names cached pictures."""
        return data_hash(self.index)

    @cached_property
    def pixels(self) -> np.ndarray:
        """The master pictures, uint8, (N, H, W, 3): drawn and verified once, then memory-mapped."""
        return cached(f"pictures/{self.name}-{self.identity}", self._make)

    def _make(self) -> np.ndarray:
        pictures = self.draw(self.index)
        if self.check is not None:
            self.check(self.index, pictures)
        return pictures


_SOURCES = {
    source.name: source
    for source in (
        Source(
            name="emoji",
            title="Emoji of 16 classes, drawn by three hands in four styles (suites use 15)",
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


def source_names() -> tuple[str, ...]:
    """Return the names of all data sets."""
    return tuple(_SOURCES)


def open_source(name: str) -> Source:
    """Return a data set by name.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    if name not in _SOURCES:
        raise unknown("data set", name, _SOURCES)
    return _SOURCES[name]
