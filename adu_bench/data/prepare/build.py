"""Prepare a data set: find its images, compare them with the published counts, split them, and write the index."""

from __future__ import annotations

import errno
import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from adu_bench.core.errors import UserError, no_locks
from adu_bench.core.hashing import file_sha256
from adu_bench.core.paths import data_dir
from adu_bench.core.progress import Progress, silent
from adu_bench.data import prepared
from adu_bench.data.files import inspect_files
from adu_bench.data.index import COLUMNS, data_hash
from adu_bench.data.parallel import in_order
from adu_bench.data.prepare import archive
from adu_bench.data.prepare.description import Description, describe, described
from adu_bench.data.prepare.download import fetch
from adu_bench.data.prepare.layout import Found, domain_folders, find_known, find_own
from adu_bench.data.prepare.leftovers import kept_as_it_was, locked, made
from adu_bench.data.prepare.pools import assign, candidates
from adu_bench.data.prepared import Prepared

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
SHOWN = 10
"""Names shown in a sentence; the others are counted."""


@dataclass(frozen=True)
class Changes:
    """How the files of a prepared data set differ from its index.

    Parameters
    ----------
    missing, changed
        Paths of images.
    count
        Number of images in the index.
    """

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    count: int


def prepare(
    name: str,
    place: Path | None,
    *,
    download: bool = False,
    skip_bad: bool = False,
    partial: bool = False,
    progress: Progress = silent,
) -> Prepared:
    """Prepare a data set; except for downloads, nothing is written unless all of it succeeds.

    Parameters
    ----------
    name
        A described data set, or the name that the user's own data shall have.
    place
        Folder, archive or, for the user's own data, index file; None with ``download``.
    download
        Download the public files.
    skip_bad
        Leave out images that cannot be read, and record them.
    partial
        Accept and record counts that differ from the published ones, and listed images that do not exist.
    progress
        Called with each step.

    Raises
    ------
    UserError
        If images are missing, cannot be read or cannot be split, or if names differ only in spelling.
    """
    with _writable(name) as unpacked:
        description = _description(name)
        places = _places(description, place, download, progress, unpacked)
        found = find_known(places, description) if description.domains else find_own(places[0], description)
        notes = [*description.notes, *_check(found, description, partial)]
        rows = candidates(_named(found), description.most)
        reading = functools.partial(progress, "reading images")
        inspected = inspect_files(found.root, rows["path"].tolist(), progress=reading)
        rows = rows.assign(sha256=inspected["sha256"].to_numpy(), turned=inspected["turned"].to_numpy())
        bad = (inspected["problem"] != "").to_numpy()
        if bad.any() and not skip_bad:
            raise _bad(rows["path"][bad], inspected["problem"][bad])
        skipped = rows["image"][bad].tolist()
        rows = rows[~bad].drop_duplicates(["image", "pool", "sha256"])
        notes += [*_two_labels(rows), *_turned(rows)]
        rows, dropped = assign(rows, found.domains, description.split_state)
        notes += [*_gaps(rows, found.domains), *_unused(found), *_swapped(rows, found)]
        if dropped:
            notes.append(
                f"{_counted(dropped, 'training image')} left out, since the same image is held out: {_some(dropped)}."
            )
        if skipped:
            notes.append(f"{_counted(skipped, 'image')} left out, since they cannot be read: {_some(skipped)}.")
        index = _index(rows, found.domains)
        made = Prepared(
            name=name,
            title=description.title,
            attribution=". ".join(part for part in (description.licence, description.home) if part),
            domains=found.domains,
            classes=tuple(sorted(rows["label"].unique())),
            root=found.root.absolute(),
            data_hash=data_hash(index),
            layout=_layout(found, description),
            skipped=tuple(skipped),
            dropped=tuple(dropped),
            notes=tuple(notes),
        )
        return prepared.write(made, index)


def verify(name: str, progress: Progress = silent) -> Changes:
    """Hash every image of a prepared data set again.

    Raises
    ------
    UserError
        If the data set is not prepared.
    """
    made = prepared.require(name)
    index = made.read_index()
    found = []
    for sha256 in in_order(lambda path: _hash(made.root / path), index["path"]):
        found.append(sha256)
        progress("reading images", len(found), len(index))
    missing = np.array(found) == ""
    changed = ~missing & (np.array(found) != index["sha256"].to_numpy())
    return Changes(tuple(index["path"][missing]), tuple(index["path"][changed]), len(index))


def _hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError:
        return ""


@contextmanager
def _writable(name: str) -> Iterator[Path]:
    """Hold the data set's lock, and give the folder for unpacked images; an error leaves what was there before.

    A failure to write the data folder becomes a `UserError`.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"'{name}' cannot be the name of a data set.",
            "The name becomes a folder, and part of results.",
            "Use lower-case letters, digits, '-', '_' and '.', for example my-photos.",
        )
    unpacked = data_dir() / name / "images"
    try:
        with made(data_dir()), locked(data_dir() / f".{name}.lock"), kept_as_it_was(unpacked, data_dir()):
            yield unpacked
    except OSError as error:
        if error.errno == errno.ENOLCK:
            raise no_locks(f"The data folder '{data_dir()}'", error, "ADU_BENCH_DATA") from error
        raise UserError(
            f"The data set '{name}' cannot be prepared.",
            f"{type(error).__name__}: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}.",
            f"Check that path; data sets are written below '{data_dir()}', or where ADU_BENCH_DATA says.",
        ) from error


def _description(name: str) -> Description:
    return describe(name) if name in described() else Description(name, f"'{name}', your own images")


def _places(
    description: Description, place: Path | None, download: bool, progress: Progress, unpacked: Path
) -> list[Path]:
    """Return the folders to look in, after downloading and unpacking."""
    places, archives = [], []
    if download:
        if not description.downloads:
            raise UserError(
                f"'{description.name}' cannot be downloaded by adu-bench.",
                "Its owners ask for a form or a licence, or do not publish a checksum.",
                f"`adu-bench data where {description.name}` says how to get it.",
            )
        folder = data_dir() / description.name / "downloads"
        places.append(folder)
        for file in description.downloads:
            fetched = fetch(file, folder, functools.partial(progress, f"downloading {file.name}"))
            archives += [fetched] if archive.is_archive(fetched) else []
    if place is not None:
        if not place.exists():
            raise UserError(f"'{place}' does not exist.", "Images are read from there.", "Check the path after --from.")
        if place.is_file() and archive.is_archive(place):
            archives.append(place)
        elif place.is_dir() and description.domains:
            places.append(place)
            archives += _packed(place, description)
        else:
            places.append(place)
    for path in archives:
        places.append(archive.unpack(path, unpacked, functools.partial(progress, f"unpacking {path.name}")))
    return places


def _packed(place: Path, description: Description) -> list[Path]:
    """Return the archives of a folder whose content is not there unpacked."""
    names = {path.name: path for path in sorted(place.iterdir()) if path.name in description.archives}
    there = domain_folders([place], description)
    if len(there) == len(description.domains):
        names = {name: path for name, path in names.items() if name.startswith("splits")}
    return [path for name, path in names.items() if name.partition(".")[0] not in there]


def _named(found: Found) -> pd.DataFrame:
    """Name images by domain, class and file, which do not depend on the folder that they are in."""
    rows = found.rows
    files = rows["path"].map(lambda path: PurePosixPath(path).name)
    return rows.assign(image=rows["domain"] + "/" + rows["label"] + "/" + files)


def _check(found: Found, description: Description, partial: bool) -> list[str]:
    """Compare with the published counts; return the differences where they are accepted.

    Raises
    ------
    UserError
        If something differs and ``partial`` is false.
    """
    differs = _differences(found, description)
    if found.missing:
        differs.append(f"{_counted(found.missing, 'listed image')} missing: {_some(found.missing)}")
    absent = [label for label in description.classes if label not in set(found.rows["label"])]
    if absent:
        differs.append(f"no images of {_counted(absent, 'class')}: {_some(absent)}")
    if not differs:
        return []
    figures = description.figures
    comparable = not figures.layout or figures.layout == found.layout
    if not partial and (comparable or found.missing or absent):
        raise UserError(
            f"'{description.name}' differs from the published data set.",
            "\n".join(f"{sentence}." for sentence in differs),
            "Complete it, or accept it with --partial; results then show another data hash.",
        )
    counted = f" ({figures.source})" if figures.source else ""
    short = [re.sub(r" \(.*\)", "", sentence) for sentence in differs]
    return [f"Differs from the published counts{counted}: {'; '.join(short)}."]


def _differences(found: Found, description: Description) -> list[str]:
    """Describe how counts differ from the published ones, one sentence per domain and pool."""
    here = found.rows.groupby(["domain", "label", "pool"]).size().rename("count").reset_index()
    differs = []
    wanted: dict[tuple[str, str], dict[str, int]] = {}
    for (domain, label, pool), count in description.figures.counts.items():
        wanted.setdefault((domain, pool), {})[label] = count
    for (domain, pool), counts in wanted.items():
        part = here[(here["domain"] == domain) & ((here["pool"] == pool) | (pool == ""))]
        found_here = part.groupby("label")["count"].sum().to_dict() | {"": part["count"].sum()}
        wrong = {label: count for label, count in counts.items() if found_here.get(label, 0) != count}
        if wrong:
            what = " ".join(word for word in (domain, {"train": "training"}.get(pool, pool)) if word)
            classes = [f"{label} {found_here.get(label, 0):,} of {count:,}" for label, count in wrong.items() if label]
            differs.append(
                f"{what}: {found_here['']:,} images instead of {sum(counts.values()):,}"
                + (f" ({_some(classes)})" if classes else "")
            )
    return differs


def _index(rows: pd.DataFrame, domains: tuple[str, ...]) -> pd.DataFrame:
    """Order the index in a fixed way, since the few-shot sample is drawn by position, and make names unique."""
    again = rows["image"].duplicated(keep=False)
    rows = rows.assign(image=rows["image"].where(~again, rows["image"] + "~" + rows["sha256"].str[:8]))
    order = pd.Categorical(rows["domain"], categories=domains, ordered=True)
    rows = rows.assign(order=order).sort_values(["order", "label", "image"], ignore_index=True)
    return rows[[*COLUMNS, "path"]]


def _two_labels(rows: pd.DataFrame) -> list[str]:
    """Report images that are there under more than one class: no answer to them is right."""
    several = rows[rows.groupby("sha256")["label"].transform("nunique") > 1]
    same = several.groupby("sha256", sort=False)["image"].agg(lambda names: " = ".join(sorted(set(names))))
    return [f"{_counted(same, 'image')} under more than one class: {_some(sorted(same))}."] if len(same) else []


def _turned(rows: pd.DataFrame) -> list[str]:
    names = sorted(rows["image"][rows["turned"]])
    return [f"{_counted(names, 'image')} with an orientation tag, which is ignored: {_some(names)}."] if names else []


def _gaps(rows: pd.DataFrame, domains: tuple[str, ...]) -> list[str]:
    """Report classes that a domain lacks, and those that it has no test images of."""
    there = set(zip(rows["domain"], rows["label"], strict=True))
    tested = rows[rows["pool"] == "test"]
    untested = there - set(zip(tested["domain"], tested["label"], strict=True))
    lacking = set(product(domains, rows["label"].unique())) - there
    kinds = {"images": lacking, "test images": untested}
    named = {what: [f"{domain}/{label}" for domain, label in sorted(pairs)] for what, pairs in kinds.items() if pairs}
    return [f"{_counted(pairs, 'class')} without {what} in a domain: {_some(pairs)}." for what, pairs in named.items()]


def _unused(found: Found) -> list[str]:
    """Report the user's class folders without images, and files that were not read."""
    notes = []
    if found.empty:
        notes.append(f"{_counted(found.empty, 'class folder')} without an image: {_some(found.empty)}.")
    if found.ignored:
        why = "not an image in FOLDER/<domain>/<class>/"
        notes.append(f"{_counted(found.ignored, 'file')} ignored, since {why}: {_some(found.ignored)}.")
    return notes


def _swapped(rows: pd.DataFrame, found: Found) -> list[str]:
    """Say how domains and classes were read where there are more domains than classes, which is unusual."""
    classes = sorted(rows["label"].unique())
    if found.layout not in ("folders", "split folders") or len(found.domains) <= len(classes):
        return []
    return [
        f"There are more domains ({_some(found.domains)}) than classes ({_some(classes)}). If they are swapped, arrange"
        " the images as FOLDER/<domain>/<class>/*."
    ]


def _layout(found: Found, description: Description) -> str:
    split = "as published" if found.layout in ("lists", "split folders") else "a fifth for test, by content"
    if description.split_state and found.layout != "lists":
        split += f"; {', '.join(description.split_state)} by scikit-learn's stratified split"
    return f"{found.layout}; {split}"


def _bad(paths: pd.Series, problems: pd.Series) -> UserError:
    lines = [f"{path}: {problem}" for path, problem in zip(paths, problems, strict=True)]
    return UserError(
        f"{_counted(lines, 'image')} cannot be read.",
        "; ".join(lines) + ".",
        "Replace them, or leave them out with --skip-bad; results then show another data hash.",
    )


def _counted(things: object, noun: str) -> str:
    number = len(things)  # type: ignore[arg-type]
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _some(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
