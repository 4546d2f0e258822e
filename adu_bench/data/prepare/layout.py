"""Find a data set's images: class folders, split folders, lists of paths, or the user's index file."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from adu_bench.core.errors import UserError
from adu_bench.core.files import read_text
from adu_bench.data.names import comparable, look_alike, nfc
from adu_bench.data.prepare.description import Description, plain
from adu_bench.data.prepare.table import read_list

ENDINGS = re.compile(r"\.(jpe?g|jpe|jfif|png|bmp|gif|webp|tiff?|p[pgb]m|avif|heic|jp2)$", re.IGNORECASE)
"""Suffixes of files that should be images; reading them shows whether they are."""
DEPTH = 3
"""How far below the given folder the folders of domains are looked for."""
LARGEST_LIST = 200_000_000
"""Bound in bytes of a published list of images; DomainNet's longest has 6 MB."""
COLUMNS = ["path", "domain", "label", "pool"]


@dataclass(frozen=True)
class Found:
    """The images of a data set on disk.

    Parameters
    ----------
    root
        Folder that the paths are relative to.
    rows
        One row per image: path, domain, label, pool (empty where it is unknown).
    domains
        The domains in order.
    layout
        ``folders``, ``split folders``, ``lists`` or ``index``.
    missing
        Paths in a list or index that do not exist.
    ignored
        Files below the root that are not images of a class folder, for the user's own folders.
    empty
        Class folders without an image, for the user's own folders.
    """

    root: Path
    rows: pd.DataFrame
    domains: tuple[str, ...]
    layout: str
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()


def find_known(places: Sequence[Path], description: Description) -> Found:
    """Find the images of a described data set.

    Parameters
    ----------
    places
        Folders to look in.
    description
        Says which folders and lists there should be.

    Raises
    ------
    UserError
        If a domain or a required list is missing, or exists twice.
    """
    folders = domain_folders(places, description)
    absent = [domain for domain in description.domains if domain not in folders]
    if absent:
        wanted = "; ".join(f"{domain} in a folder '{description.domains[domain][0]}/'" for domain in absent)
        raise UserError(
            f"{len(absent)} of the {len(description.domains)} domains of '{description.name}' are not in "
            f"{_named(places)}: {', '.join(absent)}.",
            f"Looked for {wanted}, with class folders or split folders ({', '.join(description.splits)}) in it.",
            f"`adu-bench data where {description.name}` says how to get them.",
        )
    root = Path(os.path.commonpath(list(folders.values())))
    parts = [_frame(folder, root, domain, description) for domain, folder in folders.items()]
    rows = pd.concat(parts, ignore_index=True)
    domains = tuple(description.domains)
    lists = _lists(places, description)
    if lists:
        chosen, missing = _listed(rows, lists, description)
        return Found(root, chosen, domains, "lists", missing)
    if description.lists == "needed":
        where = f" in a folder {description.lists_in}/" if description.lists_in else ""
        first, split = next(iter(description.domains)), next(iter(description.splits))
        raise UserError(
            f"The lists of '{description.name}' are not in {_named(places)}.",
            f"They say which images are for training and which for test: {first}_{split}.txt and so on{where}.",
            f"`adu-bench data where {description.name}` says how to get them.",
        )
    return Found(root, rows, domains, "split folders" if (rows["pool"] != "").any() else "folders")


def domain_folders(places: Sequence[Path], description: Description) -> dict[str, Path]:
    """Return the folders of the domains that exist, in the order of domains.

    Raises
    ------
    UserError
        If a domain has two folders.
    """
    known = {
        tuple(map(plain, folder.split("/"))): domain
        for domain, folders in description.domains.items()
        for folder in folders
    }
    found: dict[str, list[Path]] = {}
    for folder in (below for place in places for below in _below(place)):
        parts = tuple(map(plain, folder.parts))
        domains = {domain for wanted, domain in known.items() if parts[-len(wanted) :] == wanted}
        if domains and _holds_classes(folder, description):
            found.setdefault(domains.pop(), []).append(folder)
    for domain, folders in found.items():
        if len(folders) > 1:
            raise UserError(
                f"The domain '{domain}' was found {len(folders)} times.",
                f"It is in {', '.join(map(str, folders))}.",
                "Give the folder that holds one copy with --from.",
            )
    return {domain: found[domain][0] for domain in description.domains if domain in found}


def find_own(place: Path, description: Description) -> Found:
    """Find the user's images: ``root/<domain>/<class>/*``, with or without split folders, or an index file.

    Raises
    ------
    UserError
        If there are not at least two domains and two classes, or if two names differ only in spelling.
    """
    found = _index(place, description) if place.is_file() else _own_folders(place, description)
    for kind in ("domain", "label"):
        names = sorted(found.rows[kind].unique())
        if len(names) < 2:
            word = "class" if kind == "label" else kind
            raise UserError(
                f"'{place}' has {'one ' + word if names else 'no ' + word}{f' ({names[0]})' if names else ''}.",
                "Unlearning forgets some domains and keeps others, on at least two classes.",
                "Arrange the images as FOLDER/<domain>/<class>/*, or list path, domain and class in a CSV file.",
            )
    _require_one_spelling(found)
    return found


def _require_one_spelling(found: Found) -> None:
    """Refuse class names, and domain names, that differ only in spelling; folders are compared as they are called."""
    rows = found.rows
    folders = rows["label"]
    if found.layout != "index":
        folders = rows["path"].map(lambda path: nfc(PurePosixPath(path).parent.name))
    for kind, names in (("domain", rows["domain"]), ("class", folders)):
        if pair := look_alike(sorted(names.unique())):
            where = [f"'{name}' in {', '.join(sorted(rows['domain'][names == name].unique()))}" for name in pair]
            raise UserError(
                f"'{pair[0]}' and '{pair[1]}' are the same {kind} name in two spellings"
                + (f": {' and '.join(where)}." if kind == "class" else "."),
                "They differ only in case, accents, spaces, underscores or hyphens, so they cannot be told apart.",
                f"Give one {kind} one name everywhere, and two of them names that differ in words.",
            )


def _own_folders(place: Path, description: Description) -> Found:
    while True:
        domains = [folder for folder in _folders(place) if _folders(folder)]
        inner = _folders(domains[0]) if len(domains) == 1 else []
        # An archive often has a folder around everything.
        if not inner or not any(_folders(folder) for folder in inner):
            break
        if all(plain(folder.name) in description.splits for folder in inner):
            break
        place = domains[0]
    parts = [_frame(folder, place, nfc(folder.name), description) for folder in domains]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    layout = "split folders" if (rows["pool"] != "").any() else "folders"
    names = tuple(nfc(folder.name) for folder in domains)
    return Found(place, rows, names, layout, ignored=_ignored(place, set(rows["path"])), empty=_empty(place, rows))


def _ignored(place: Path, used: Container[str]) -> tuple[str, ...]:
    """Return the files below a folder that are not used, without hidden ones."""
    found = []
    for folder, inner, names in os.walk(place):
        inner[:] = [name for name in inner if not name.startswith((".", "__MACOSX"))]
        paths = [(Path(folder) / name).relative_to(place).as_posix() for name in names if not name.startswith(".")]
        found += [path for path in paths if path not in used]
    return tuple(sorted(found))


def _empty(place: Path, rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the folders at the depth of class folders, or above it, that hold no image."""
    full = {parent.as_posix() for path in set(rows["path"]) for parent in PurePosixPath(path).parents}
    depth = max((path.count("/") for path in full), default=1)
    found = []
    for folder, inner, _ in os.walk(place):
        inner[:] = [name for name in inner if not name.startswith((".", "__MACOSX"))]
        path = Path(folder).relative_to(place).as_posix()
        if path.count("/") >= depth:
            inner.clear()
        if path.count("/") == depth and path not in full:
            found.append(path)
    return tuple(sorted(found))


def _index(path: Path, description: Description) -> Found:
    """Find the images of a list, see `read_list`; paths count from the list's folder."""
    rows = read_list(path)
    rows = rows.assign(domain=rows["domain"].map(nfc), label=rows["label"].map(nfc))
    pools = {split: description.splits.get(plain(split), "") for split in rows["pool"].unique()}
    for split, pool in pools.items():
        if split and not pool:
            raise UserError(
                f"'{path}' has a split '{split}'.",
                f"Known splits are {', '.join(description.splits)}.",
                "Rename it, or leave the column out for a split by content.",
            )
    full = [_listed_file(path.parent.absolute(), name) for name in rows["path"]]
    there = [one.is_file() for one in full]
    if not any(there):
        raise UserError(
            f"None of the {len(full):,} images in '{path}' was found.",
            f"The first is '{full[0]}'.",
            f"Give paths that count from '{path.parent.absolute()}', or put the list there.",
        )
    root = Path(os.path.commonpath([one.parent for one in full]))
    rows = rows.assign(pool=rows["pool"].map(pools), path=[os.path.relpath(one, root) for one in full])
    missing = tuple(str(one) for one, ok in zip(full, there, strict=True) if not ok)
    return Found(root, rows[there].reset_index(drop=True), tuple(sorted(rows["domain"].unique())), "index", missing)


def _listed_file(folder: Path, name: str) -> Path:
    """Return the file that a row names; backslashes separate folders where no file has them in its name."""
    file = folder / name
    return folder / name.replace("\\", "/") if "\\" in name and not file.is_file() else file


def _named(places: Sequence[Path]) -> str:
    return " or ".join(f"'{place}'" for place in places)


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without hidden ones."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))]
    return [folder / name for name in sorted(names)]


def _files(folder: Path) -> list[str]:
    """Return the names of the images in a folder, sorted, without hidden ones."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
    return sorted(name for name in names if ENDINGS.search(name))


def _below(place: Path) -> Iterator[Path]:
    """Yield a folder and the folders below it, nearest first, but not below a folder of many classes."""
    level = [place.absolute()]
    for depth in range(DEPTH + 1):
        yield from level
        if depth < DEPTH:
            below = [_folders(folder) for folder in level]
            level = [folder for folders in below if len(folders) <= 100 for folder in folders]


def _holds_classes(folder: Path, description: Description) -> bool:
    return any(description.label(inner.name) for inner in _folders(folder)) or bool(_split_folders(folder, description))


def _split_folders(folder: Path, description: Description) -> dict[Path, str]:
    """Return the split folders and their pools; DomainNet's class ``train`` is not one, as it holds no classes."""
    return {
        inner: description.splits[plain(inner.name)]
        for inner in _folders(folder)
        if plain(inner.name) in description.splits and any(_label(below.name, description) for below in _folders(inner))
    }


def _label(folder: str, description: Description) -> str | None:
    return description.label(folder) if description.folders else nfc(folder.replace("_", " "))


def _frame(folder: Path, root: Path, domain: str, description: Description) -> pd.DataFrame:
    """List the images of a domain.

    Raises
    ------
    UserError
        If two folders hold the same class.
    """
    holders = _split_folders(folder, description) or {folder: ""}
    rows = []
    for holder, pool in holders.items():
        seen: dict[str, str] = {}
        for inner in _folders(holder):
            label = _label(inner.name, description)
            if label:
                first = seen.setdefault(comparable(label), inner.name)
                if first != inner.name:
                    raise UserError(
                        f"The folders '{first}' and '{inner.name}' in '{holder}' hold the same class, '{label}'.",
                        "Their names differ only in spelling, and their images would be mixed.",
                        "Move their images into one folder, or give one of them a name that differs in words.",
                    )
                prefix = inner.relative_to(root).as_posix()
                rows += [(f"{prefix}/{name}", domain, label, pool) for name in _files(inner)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _lists(places: Sequence[Path], description: Description) -> dict[tuple[str, str], Path]:
    """Return the lists by domain and split; either every domain has lists, or there are none at all."""
    wanted = {
        f"{plain(name)}_{split}": (domain, split)
        for domain, folders in description.domains.items()
        for name in (domain, *folders)
        for split in description.splits
    }
    found: dict[tuple[str, str], Path] = {}
    for path in (path for place in places for folder in _below(place) for path in sorted(folder.glob("*.txt"))):
        inside = plain(path.parent.name)
        key = wanted.get(plain(path.stem))
        if key is None or inside == plain(description.not_lists_in or "-"):
            continue
        if description.lists_in and inside != plain(description.lists_in):
            continue
        if key in found and _lines(found[key]) != _lines(path):
            raise UserError(
                f"There are two different lists '{path.name}'.",
                f"'{found[key]}' and '{path}' disagree on what is for training.",
                "Remove the one that you do not want.",
            )
        found.setdefault(key, path)
    absent = [domain for domain in description.domains if domain not in {listed for listed, _ in found}]
    if found and absent:
        raise UserError(
            f"There are no lists for {', '.join(absent)}.",
            f"Other domains of '{description.name}' have them.",
            f"`adu-bench data where {description.name}` says how to get them.",
        )
    return found


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path, LARGEST_LIST).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The list '{path}' cannot be read.",
            f"{getattr(error, 'strerror', None) or 'It is not text in UTF-8'}.",
            "Get it again from the data set's owners.",
        ) from error


def _listed(
    rows: pd.DataFrame, lists: dict[tuple[str, str], Path], description: Description
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the listed images with their pools, and the listed images that do not exist.

    The numbers in the lists are not used, since Office-Home's classes are numbered in two ways.
    """
    there = dict(zip(zip(rows["domain"], map(_tail, rows["path"]), strict=True), rows.index, strict=True))
    positions, pools, missing = [], [], []
    for (domain, split), path in lists.items():
        for line in _lines(path):
            name = line.rsplit(maxsplit=1)[0].replace("\\", "/") if line.strip() else ""
            folder = PurePosixPath(name).parent.name
            if not name or description.label(folder) is None or name in description.ignored:
                continue
            position = there.get((domain, _tail(name)))
            if position is None:
                missing.append(name)
            else:
                positions.append(position)
                pools.append(description.splits[split])
    return rows.loc[positions].assign(pool=pools).reset_index(drop=True), tuple(missing)


def _tail(path: str) -> tuple[str, str]:
    """Return what identifies an image within its domain in any layout: class folder and file."""
    pure = PurePosixPath(path)
    return plain(pure.parent.name), pure.name
