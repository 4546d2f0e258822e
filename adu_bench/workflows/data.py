"""List, locate, prepare and verify data sets."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from adu_bench.clip.identity import SHIPPED
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError, unknown
from adu_bench.core.paths import data_dir
from adu_bench.core.progress import Progress, silent
from adu_bench.data import prepared
from adu_bench.data.index import POOLS
from adu_bench.data.prepare.build import Changes, prepare, verify
from adu_bench.data.prepare.description import describe, described
from adu_bench.data.prepared import Prepared
from adu_bench.data.sources import drawn_names, open_source
from adu_bench.suites.reading import PATTERN, load_suite, shipped_names

FITS = 30
"""Classes up to which a table of all is shown."""


def list_data() -> list[dict[str, str]]:
    """Describe all known data sets by ``name``, ``state`` (``ok``, ``missing`` or ``damaged``) and ``title``."""
    found = [{"name": name, "state": "ok", "title": open_source(name).title} for name in drawn_names()]
    return found + [_listed(name) for name in sorted({*described(), *prepared.prepared_names()})]


def _listed(name: str) -> dict[str, str]:
    """Describe a data set; a damaged one says so, and the others are listed all the same."""
    try:
        made = prepared.read(name)
    except UserError as error:
        return {"name": name, "state": "damaged", "title": str(error)}
    title = describe(name).title if name in described() else made.title if made else ""
    return {"name": name, "state": "ok" if made else "missing", "title": title}


def locate_data(name: str) -> list[str]:
    """Say where a data set is, and how to get it if it is missing, in lines.

    Raises
    ------
    UserError
        If there is no such data set.
    """
    made = prepared.read(name)
    if made is not None:
        return [f"{name}: prepared in {made.folder}, images in {made.root}"]
    if name in drawn_names():
        return [f"{name}: ships with adu-bench; there is nothing to prepare"]
    if name not in described():
        raise unknown("data set", name, {*drawn_names(), *described(), *prepared.prepared_names()})
    description = describe(name)
    facts = (("what", description.title), ("home", description.home), ("terms", description.licence))
    return [
        f"{name}: not prepared; it would be in {data_dir() / name}",
        *(f"  {title}: {value}" for title, value in facts),
        "How to get it:",
        *(f"  {step}" for step in description.steps),
    ]


def before_preparing(name: str, place: str, download: bool) -> str:
    """Check that a data set can be prepared under a name from a place, and return a notice on it (may be empty).

    Raises
    ------
    UserError
        If the name is taken, or it is unclear where the images come from.
    """
    known = name in described()
    if name in (*drawn_names(), PATTERN, *shipped_names()) and not known:
        raise UserError(
            f"'{name}' cannot be the name of your data.", "adu-bench uses it itself.", "Choose another name."
        )
    if download and not known:
        raise unknown("public data set", name, described())
    if place and download:
        raise UserError(
            "--from and --download were both given.",
            "Images are either downloaded or already here.",
            f"adu-bench data prepare {name} --download, or adu-bench data prepare {name} --from {shlex.quote(place)}",
        )
    if not place and not download:
        raise UserError(
            f"It is not known where the images of '{name}' are.",
            "Neither --from nor --download is given.",
            f"adu-bench data prepare {name} --from FOLDER (`adu-bench data where {name}` says how to get it)."
            if known
            else f"adu-bench data prepare {name} --from FOLDER, where FOLDER/<domain>/<class>/* are the images.",
        )
    if not known:
        return f"'{name}' is not one of the public data sets ({', '.join(described())}); these are your images."
    if download and describe(name).downloads:
        size = sum(file.bytes for file in describe(name).downloads) / 2**30
        return f"{describe(name).licence[0].upper()}{describe(name).licence[1:]}. Fetching {size:.1f} GiB."
    return ""


def prepare_data(
    name: str,
    place: Path | None,
    progress: Progress = silent,
    *,
    download: bool = False,
    skip_bad: bool = False,
    partial: bool = False,
) -> Prepared:
    """Prepare a data set; see `adu_bench.data.prepare.build.prepare`."""
    return prepare(name, place, download=download, skip_bad=skip_bad, partial=partial, progress=progress)


def summary(made: Prepared) -> list[str]:
    """Describe a prepared data set in lines: counts per domain and pool, and notes."""
    index = made.read_index()
    counts = index.groupby(["domain", "pool"]).size().unstack(fill_value=0)
    return [
        f"{made.name}: {len(index):,} images, {len(made.classes)} classes, data hash {made.data_hash}",
        f"  images: {made.root} ({made.layout})",
        *(
            f"  {domain}: " + ", ".join(f"{counts.loc[domain, pool]:,} {pool}" for pool in POOLS)
            for domain in made.domains
        ),
        *_table(index, made.domains),
        *(f"  {note}" for note in made.notes),
    ]


def _table(index: pd.DataFrame, domains: Sequence[str]) -> list[str]:
    """Return the images by class and domain as lines; of more classes than fit, those that a domain lacks."""
    counts = (
        index.groupby(["label", "domain"]).size().unstack(fill_value=0).reindex(columns=list(domains), fill_value=0)
    )
    shown = counts if len(counts) <= FITS else counts[(counts == 0).any(axis=1)][:FITS]
    if shown.empty:
        return []
    width = max(map(len, ["class", *shown.index]))
    rows = ([str(label), *(f"{n:,}" if n else "-" for n in row)] for label, row in shown.T.items())
    lines = [["class", *domains], *rows]
    return [
        f"  {label:<{width}}"
        + "".join(f"  {cell:>{max(6, len(name))}}" for cell, name in zip(cells, domains, strict=True))
        for label, *cells in lines
    ]


def run_hint(name: str) -> list[str]:
    """Say how to run the suite of a prepared data set, and which weights it takes from where."""
    backbone = load_suite(name).backbone
    hint = [f"Run it: {command('run', suite=name)}"]
    if backbone == SHIPPED:
        return hint
    return [
        f"It uses {backbone}, which open_clip downloads at the first run; --backbone emoji-clip needs no network.",
        *hint,
    ]


def verify_data(name: str, progress: Progress = silent) -> Changes:
    """Compare a data set's files with its index."""
    return verify(name, progress)
