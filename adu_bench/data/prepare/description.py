"""What is known about public data sets: where to get them, their folders, and how many images they have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from adu_bench.core.paths import RESOURCES
from adu_bench.data.names import nfc

FOLDER = RESOURCES / "datasets"
USUAL_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""Split names in the user's own data, and the pools that they stand for."""


def plain(name: str) -> str:
    """Return a name without case and without the signs that join its words: ``Real World`` is ``real_world``."""
    return re.sub(r"[\W_]+", "_", nfc(name).casefold()).strip("_")


@dataclass(frozen=True)
class Download:
    """A file that anybody may download, with its size in bytes and its SHA-256."""

    url: str
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Figures:
    """Published numbers of images.

    Parameters
    ----------
    source
        Their source.
    counts
        Numbers by (domain, class, pool); an empty class or pool stands for all.
    layout
        The layout in which they were counted; empty where they hold for any.
    """

    source: str = ""
    counts: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    layout: str = ""


@dataclass(frozen=True)
class Description:
    """A public data set and its layout.

    Parameters
    ----------
    name, title, home, licence
        Name on the command line, one line of text, home page, and terms of use.
    steps
        How to get it, as text.
    domains
        Domains in order, each with its possible folders (several parts joined by ``/``).
    folders
        Class folders in the order of the published numbers, with class names.
    only
        The class folders that take part; all where empty.
    splits
        Names of split folders and lists, with the pools that they stand for; others are not read.
    numbered
        Whether class folders may be numbers.
    lists
        ``needed`` where images without lists are refused.
    lists_in, not_lists_in
        Folder that must hold the lists, or must not.
    archives
        Names of the archives in which it is published.
    ignored
        Listed images that are known not to exist.
    most
        Largest number of training images of a (class, domain); 0 for no bound.
    split_state
        Domains without a published split that scikit-learn splits 80/20, and the random state.
    figures, downloads, notes
        Published counts, files to download, and what users should know.
    """

    name: str
    title: str
    home: str = ""
    licence: str = ""
    steps: tuple[str, ...] = ()
    domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    only: frozenset[str] = frozenset()
    splits: Mapping[str, str] = field(default_factory=lambda: USUAL_SPLITS)
    numbered: bool = False
    lists: str = ""
    lists_in: str = ""
    not_lists_in: str = ""
    archives: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    most: int = 0
    split_state: Mapping[str, int] = field(default_factory=dict)
    figures: Figures = Figures()
    downloads: tuple[Download, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that take part, sorted."""
        return tuple(
            sorted({name for folder, name in self.folders.items() if not self.only or plain(folder) in self.only})
        )

    @cached_property
    def _labels(self) -> dict[str, str]:
        labels = {plain(folder): name for folder, name in self.folders.items()}
        if self.numbered:
            labels |= {str(number): name for number, name in enumerate(self.folders.values())}
        return {folder: name for folder, name in labels.items() if name in self.classes}

    def label(self, folder: str) -> str | None:
        """Return the class of a folder; None if it does not hold a class that takes part."""
        return self._labels.get(plain(folder))


def described() -> tuple[str, ...]:
    """Return the names of the data sets that have a description."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def describe(name: str) -> Description:
    """Read a description.

    Raises
    ------
    FileNotFoundError
        If there is no description of that name.
    """
    values: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    domains = {domain: tuple(folders) for domain, folders in values.pop("domains").items()}
    classes, only = values.pop("classes"), values.pop("only", ())
    return Description(
        name=name,
        domains=domains,
        folders=_table(FOLDER / classes) if isinstance(classes, str) else classes,
        only=frozenset(map(plain, only)),
        steps=tuple(values.pop("steps")),
        splits={plain(split): pool for split, pool in values.pop("splits").items()},
        archives=tuple(values.pop("archives", ())),
        ignored=tuple(values.pop("ignored", ())),
        figures=_figures(values.pop("figures", {})),
        downloads=tuple(Download(**download) for download in values.pop("downloads", ())),
        notes=tuple(values.pop("notes", ())),
        **values,
    )


def _table(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))  # type: ignore[misc]


def _figures(given: Mapping[str, Any]) -> Figures:
    counts = {(domain, "", ""): number for domain, number in given.get("all", {}).items()}
    for split, pool in (("train", "train"), ("test", "test")):
        counts |= {(domain, "", pool): number for domain, number in given.get(split, {}).items()}
    for domain, classes in given.get("classes", {}).items():
        counts |= {(domain, label, ""): number for label, number in classes.items()}
    return Figures(given.get("source", ""), counts, given.get("layout", ""))
