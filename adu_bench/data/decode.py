"""Picture files become RGB pictures, or are refused with a reason: the only reader of files that strangers made."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from PIL import Image, UnidentifiedImageError

from adu_bench.core.hashing import digest
from adu_bench.core.paths import cache_dir
from adu_bench.data.cache import usable
from adu_bench.data.parallel import Progress, in_order, silent

DECODING = 1
"""Version of how files become RGB; part of the name of every cache of their pixels."""
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""What is read, whatever a file's name says.  Pillow knows more, and runs other programs for some of them."""
LARGEST_FILE = 512 * 2**20
LARGEST_PICTURE = 2 * 89_478_485
"""Pixels above which Pillow too refuses a picture by default."""
LONGEST_SIDE = 200
"""Sides whose ratio is larger are refused: resized by their shortest side, they would not fit into memory."""


class BadImage(ValueError):
    """A file that is no usable picture; the message is the reason, in a few words."""


def open_rgb(path: Path) -> Image.Image:
    """Return the picture in a file as RGB.

    Modes become RGB as Pillow's ``convert("RGB")`` makes them, since the loaders that pre-trained backbones are used
    with do the same: colours under transparency come out as they are stored, CMYK of JPEG files is taken for
    inverted (Adobe's convention), an orientation tag turns nothing.  Sixteen-bit greys keep their upper eight bits,
    as Pillow does for sixteen-bit colours; ``convert`` would make most of them white.

    Raises
    ------
    BadImage
        With the reason.
    """
    return decode(read(path))


def read(path: Path) -> bytes:
    """Return a file's bytes.

    Raises
    ------
    BadImage
        If it is missing, no file, too large or may not be read.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise BadImage("a folder")
        if not stat.S_ISREG(status.st_mode):
            raise BadImage("not a regular file")
        if status.st_size > LARGEST_FILE:
            raise BadImage(f"{status.st_size / 2**20:.0f} MB, too large for a picture")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadImage("missing") from error
    except OSError as error:
        raise BadImage(f"cannot be read: {error.strerror or error}") from error


def decode(data: bytes) -> Image.Image:
    """Return a file's bytes as an RGB picture; see `open_rgb`.

    Raises
    ------
    BadImage
        With the reason.
    """
    if not data:
        raise BadImage("empty file")
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(*picture.size)
        picture.load()
        return _rgb(picture)
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(f"not a picture ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise BadImage(f"more than {LARGEST_PICTURE:,} pixels") from error
    except Exception as error:  # a codec may raise anything on a damaged file
        raise BadImage(f"damaged: {error or type(error).__name__}") from error


def _check_size(width: int, height: int) -> None:
    if width * height > LARGEST_PICTURE:
        raise BadImage(f"more than {LARGEST_PICTURE:,} pixels")
    if max(width, height) > LONGEST_SIDE * min(width, height):
        raise BadImage(f"one side is over {LONGEST_SIDE} times as long as the other ({width} x {height})")


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG"):
        return Image.fromarray((np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        raise BadImage("32-bit values, whose range is not known")
    return picture.convert("RGB")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings: what matters raises, and a threaded pool would repeat the rest for each picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def inspect_files(
    root: Path, paths: Sequence[str], workers: int | None = None, progress: Progress = silent
) -> pd.DataFrame:
    """Hash and decode files, each read once, several at a time.

    Results are written to a journal in the cache folder as they come, and files that have the same size and time as
    then are not read again: after a kill, the same call continues.

    Parameters
    ----------
    root
        Folder of the files.
    paths
        Paths below it, with ``/``.
    workers
        Threads; None for one a core.
    progress
        Called with the numbers of files done and in all.

    Returns
    -------
    DataFrame
        One row a path, in order: ``path``, ``sha256`` (of the file's bytes; empty where it cannot be read) and
        ``problem`` (empty if it decodes, else the reason).

    Raises
    ------
    UserError
        If the cache folder cannot be written.
    """
    found: dict[str, tuple[str, str]] = {}
    journal = cache_dir() / "inspected" / f"{digest(str(root.resolve()))}.jsonl"
    with usable(), quiet():
        journal.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(journal.with_suffix(".lock")), journal.open("a+b") as log:
            known = _journalled(log, set(paths))
            todo = []
            for path in paths:
                stamp = _stamp(root / path)
                if path in known and stamp is not None and known[path][:2] == stamp:
                    found[path] = known[path][2:]
                else:
                    todo.append((path, stamp))
            progress(len(found), len(paths))
            looked_at = in_order(lambda item: _inspect(root / item[0]), todo, workers)
            for (path, stamp), result in zip(todo, looked_at, strict=True):
                found[path] = result
                if stamp is not None:
                    log.write(json.dumps([path, *stamp, *result]).encode() + b"\n")
                progress(len(found), len(paths))
    sha256, problem = zip(*(found[path] for path in paths), strict=True) if paths else ((), ())
    return pd.DataFrame({"path": list(paths), "sha256": list(sha256), "problem": list(problem)}, dtype=object)


def _inspect(path: Path) -> tuple[str, str]:
    sha256 = ""
    try:
        data = read(path)
        sha256 = hashlib.sha256(data).hexdigest()
        decode(data)
    except BadImage as error:
        return sha256, str(error)
    return sha256, ""


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _journalled(log: io.BufferedRandom, wanted: set[str]) -> dict[str, tuple]:
    """Read a journal, and cut it off where it is damaged, as a kill may leave its last line."""
    log.seek(0)
    known, end = {}, 0
    for line in log:
        try:
            path, size, time, sha256, problem = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        end += len(line)
        if path in wanted:
            known[path] = (size, time, sha256, problem)
    log.truncate(end)
    return known
