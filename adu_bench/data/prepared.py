"""Prepared data sets: the index of the user's images, and the folder that they are in."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from adu_bench.core.errors import UserError
from adu_bench.core.files import read_bytes, read_text, replacing, write_text
from adu_bench.core.hashing import digest
from adu_bench.core.parquet_files import DAMAGES, read_table
from adu_bench.core.paths import data_dir
from adu_bench.data.index import COLUMNS

FORMAT = 3
"""Version of the files; a data set of another version has to be prepared again."""

_MOST_IMAGES = 10_000_000
_LARGEST = 2_000_000_000
"""Bound in bytes of a data set's files; with ten million images the index has half of it."""


@dataclass(frozen=True)
class Prepared:
    """A prepared data set.

    Parameters
    ----------
    name, title, attribution
        Name in suites, one line for people, and whom to credit.
    domains, classes
        The domains in order; the class names, sorted.
    root
        Folder of the images.
    data_hash
        Digest of the whole index.
    layout
        How they were found, as text.
    skipped
        Images that were left out because they cannot be read.
    dropped
        Training images that were left out because the same image is held out for validation or test.
    notes
        What users should know, such as counts that differ from the published ones.
    index_sha256
        SHA-256 of the index's file; `write` sets it.
    """

    name: str
    title: str
    attribution: str
    domains: tuple[str, ...]
    classes: tuple[str, ...]
    root: Path
    data_hash: str
    layout: str
    skipped: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    index_sha256: str = ""

    @property
    def folder(self) -> Path:
        """Folder of the data set's own files."""
        return data_dir() / self.name

    @property
    def index_file(self) -> Path:
        """The index, named by its content, so that a new one does not touch that of before."""
        return self.folder / f"index-{self.index_sha256[:16]}.parquet"

    def read_index(self) -> pd.DataFrame:
        """Return the index: image, domain, label, pool, sha256, and path relative to the root.

        Raises
        ------
        UserError
            If it is missing or damaged.
        """
        try:
            content = read_bytes(self.index_file, _LARGEST)
            if hashlib.sha256(content).hexdigest() != self.index_sha256:
                raise ValueError(f"{self.index_file.name} is not the file that was written")
            table = read_table(content, _MOST_IMAGES, _LARGEST, texts=(*COLUMNS, "path"))
            index = table.to_pandas(ignore_metadata=True).astype(object)
        except DAMAGES as error:
            raise _damaged(self.name, error) from error
        if list(index.columns) != [*COLUMNS, "path"]:
            raise _damaged(self.name, ValueError(f"columns {', '.join(map(str, index.columns))}"))
        return index


def read(name: str) -> Prepared | None:
    """Return a prepared data set; None if no data set of that name is prepared.

    Raises
    ------
    UserError
        If it is damaged, or was prepared by another version of adu-bench.
    """
    if not name or "/" in name or name.startswith("."):
        return None
    try:
        values: dict[str, Any] = json.loads(read_text(data_dir() / name / "dataset.json", _LARGEST))
        if (version := values.pop("format")) != FORMAT:
            raise ValueError(f"it has format {version}, and this version of adu-bench reads format {FORMAT}")
        if values.pop("digest") != digest(values):
            raise ValueError("dataset.json is not as it was written")
        if values["name"] != name:
            raise ValueError(f"it is the record of '{values['name']}'")
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        return _checked(Prepared(**{**values, **lists, "root": Path(values["root"])}))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(name, error) from error


def _checked(made: Prepared) -> Prepared:
    """Check the types of a record's entries; a damaged file can still be JSON."""
    for entry in fields(made):
        value = getattr(made, entry.name)
        several = str(entry.type).startswith("tuple")
        texts = value if several else [str(value) if entry.name == "root" else value]
        if several != isinstance(value, tuple) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"'{entry.name}' is malformed")
    return made


def require(name: str) -> Prepared:
    """Return a prepared data set.

    Raises
    ------
    UserError
        If it is not prepared; the message says how to prepare it.
    """
    made = read(name)
    if made is None:
        raise not_prepared(name)
    return made


def not_prepared(name: str) -> UserError:
    """Return the error for a data set that is not prepared."""
    return UserError(
        f"The data set '{name}' is not prepared.",
        f"adu-bench does not contain its images, and '{data_dir()}' has no index of them.",
        f"adu-bench data prepare {name} --from FOLDER (`adu-bench data where {name}` says how to get them).",
    )


def prepared_names() -> tuple[str, ...]:
    """Return the names of the prepared data sets."""
    return tuple(sorted(path.parent.name for path in data_dir().glob("*/dataset.json")))


def write(prepared: Prepared, index: pd.DataFrame) -> Prepared:
    """Write a prepared data set in place of an earlier one, and return it with the hash of its index.

    A reader never sees a mixture of both, and a killed process leaves one of them whole.
    """
    buffer = io.BytesIO()
    index.to_parquet(buffer, index=False)
    prepared = replace(prepared, index_sha256=hashlib.sha256(buffer.getvalue()).hexdigest())
    values = {"format": FORMAT, **asdict(prepared), "root": str(prepared.root)}
    values["digest"] = digest({name: value for name, value in values.items() if name != "format"})
    with replacing(prepared.index_file) as temporary:
        temporary.write_bytes(buffer.getvalue())
    write_text(prepared.folder / "dataset.json", json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    for path in (*prepared.folder.glob("index*.parquet"), *prepared.folder.glob(".*.tmp")):
        if path != prepared.index_file:
            path.unlink(missing_ok=True)
    return prepared


def _damaged(name: str, error: Exception) -> UserError:
    return UserError(
        f"The prepared data set '{name}' cannot be used.",
        f"{type(error).__name__}: {error}.",
        f"Prepare it again: adu-bench data prepare {name} --from FOLDER",
    )
