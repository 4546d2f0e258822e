"""Image files on disk: read, hashed and checked before they are used."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from filelock import FileLock
from PIL import ExifTags, Image

from adu_bench.core.hashing import digest
from adu_bench.core.paths import cache_dir
from adu_bench.core.progress import Count, uncounted
from adu_bench.data.cache import usable
from adu_bench.data.decode import BadImage, load, quiet, to_rgb
from adu_bench.data.parallel import in_order

LARGEST_FILE = 512 * 2**20


class Inspected(NamedTuple):
    """What was found in a file.

    Parameters
    ----------
    sha256
        Of its bytes; empty where it cannot be read.
    problem
        Empty if it decodes, else the reason.
    turned
        Whether it has an orientation tag that viewers follow and `decode` ignores.
    """

    sha256: str
    problem: str
    turned: bool


def read(path: Path) -> bytes:
    """Return a file's bytes.

    Raises
    ------
    BadImage
        If it is missing, not a regular file, too large or may not be read.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise BadImage("a folder")
        if not stat.S_ISREG(status.st_mode):
            raise BadImage("not a regular file")
        if status.st_size > LARGEST_FILE:
            raise BadImage(f"{status.st_size / 2**20:.0f} MB, too large for an image")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadImage("missing") from error
    except OSError as error:
        raise BadImage(f"cannot be read: {error.strerror or error}") from error


def inspect_files(
    root: Path, paths: Sequence[str], workers: int | None = None, progress: Count = uncounted
) -> pd.DataFrame:
    """Hash and decode files, each read once, several at a time.

    Results are written to a journal in the cache folder as they come.  Files whose size and time have not changed
    since are not read again: after a kill, the same call continues.

    Parameters
    ----------
    root
        Folder of the files.
    paths
        Paths below it, with ``/``.
    workers
        Threads; None for one per core.
    progress
        Called with the numbers of files done and in all.

    Returns
    -------
    DataFrame
        One row per path, in order: ``path``, and ``sha256``, ``problem`` and ``turned`` as in `Inspected`.

    Raises
    ------
    UserError
        If the cache folder cannot be written.
    """
    found: dict[str, Inspected] = {}
    journal = cache_dir() / "inspected" / f"{digest(str(root.resolve()))}.jsonl"
    with usable(), quiet():
        journal.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(journal.with_suffix(".lock")), journal.open("a+b") as log:
            known = _journalled(log, set(paths))
            todo = []
            for path in paths:
                stamp = _stamp(root / path)
                if path in known and stamp is not None and known[path][0] == stamp:
                    found[path] = known[path][1]
                else:
                    todo.append((path, stamp))
            progress(len(found), len(paths))
            looked_at = in_order(lambda item: _inspect(root / item[0]), todo, workers)
            for (path, stamp), result in zip(todo, looked_at, strict=True):
                found[path] = result
                if stamp is not None:
                    log.write(_line(path, stamp, result))
                progress(len(found), len(paths))
    rows = [(path, *found[path]) for path in paths]
    types = {"path": object, "sha256": object, "problem": object, "turned": bool}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _inspect(path: Path) -> Inspected:
    sha256 = ""
    try:
        data = read(path)
        sha256 = hashlib.sha256(data).hexdigest()
        image = load(data)
        to_rgb(image)
    except BadImage as error:
        return Inspected(sha256, str(error), False)
    return Inspected(sha256, "", _turned(image))


def _turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
    except Exception:  # damaged metadata say nothing, and are not needed
        return False


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _line(path: str, stamp: tuple[int, int], result: Inspected) -> bytes:
    """Return a line of the journal: the CRC-32 of its rest, eight digits, and what was found in a file."""
    content = json.dumps([path, stamp, result]).encode()
    return b"%08x %b\n" % (zlib.crc32(content), content)


def _journalled(log: io.BufferedRandom, wanted: set[str]) -> dict[str, tuple[tuple[int, int], Inspected]]:
    """Read a journal, and cut it off where it is damaged, as a kill may leave its last line."""
    log.seek(0)
    known, end = {}, 0
    for line in log:
        total, _, content = line.removesuffix(b"\n").partition(b" ")
        if not line.endswith(b"\n") or total != b"%08x" % zlib.crc32(content):
            break
        end += len(line)
        path, (size, time), result = json.loads(content)
        if path in wanted:
            known[path] = ((size, time), Inspected(*result))
    log.truncate(end)
    return known
