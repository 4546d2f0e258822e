"""What is known of public data sets before anybody has them: where to get them, how they lie, how many pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from adu_bench.core.paths import RESOURCES

FOLDER = RESOURCES / "datasets"
USUAL_SPLITS = {
    "train": "shots",
    "training": "shots",
    "shots": "shots",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""Split names of people's own data, and the pools they stand for."""


def plain(name: str) -> str:
    """Return a name without regard to case and to how its words are joined: ``Real World`` is ``real_world``."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


@dataclass(frozen=True)
class Download:
    """A file that its owners let anybody fetch, with its size in bytes and its SHA-256."""

    url: str
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Figures:
    """Published numbers of pictures.

    Parameters
    ----------
    source
        Where they are from.
    counts
        Numbers by (domain, class, pool); class and pool are empty where the number is of all.
    layout
        The layout that they were counted on; empty where they hold for any.
    """

    source: str = ""
    counts: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    layout: str = ""


@dataclass(frozen=True)
class Description:
    """A data set that has a layout.

    Parameters
    ----------
    name, title, home, licence
        Name on the command line, one line for people, where it is from, and on which terms.
    steps
        How to get it, for people.
    domains
        Domains in order, each with the folders that may hold it (several parts joined by ``/``).
    folders
        Class folders in the order of the published numbers, with class names.
    only
        The class folders that take part; all where empty.
    splits
        Names of split folders and lists, with the pools they stand for; others are not read.
    numbered
        Whether class folders may be numbers.
    lists
        ``needed`` where pictures without lists will not do.
    lists_in, not_lists_in
        Folder that the lists must lie in, or must not.
    archives
        Names of the archives in which it is handed out.
    ignored
        Listed pictures that are known not to exist.
    most
        Most candidates for shots in a (class, domain); 0 for no bound.
    split_state
        Domains without published split that scikit-learn splits 80/20, and the random state.
    figures, downloads, notes
        Published counts, files to fetch, and what users should know.
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
        """Return the class of a folder; None where it is no class that takes part."""
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
        If there is none of that name.
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
    for split, pool in (("train", "shots"), ("test", "test")):
        counts |= {(domain, "", pool): number for domain, number in given.get(split, {}).items()}
    for domain, classes in given.get("classes", {}).items():
        counts |= {(domain, label, ""): number for label, number in classes.items()}
    return Figures(given.get("source", ""), counts, given.get("layout", ""))
