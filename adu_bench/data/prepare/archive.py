"""Unpack archives of unknown origin: nothing is written outside the target folder, and no partial result is used."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from adu_bench.core.errors import UserError
from adu_bench.core.files import open_regular
from adu_bench.core.hashing import file_sha256
from adu_bench.core.progress import Count

_RATIO = 100
"""Images hardly shrink in an archive; one that is this many times smaller than its content is made to fill the disk."""
_SMALL = 100_000_000
"""Bytes that any archive may hold."""
_SPARE = 2**30
"""Bytes that must remain free on the disk."""
ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Return whether a file's name is that of an archive that can be unpacked."""
    return path.name.lower().endswith(ENDINGS)


def unpack(archive: Path, folder: Path, progress: Count) -> Path:
    """Unpack an archive below a folder, into a subfolder named after its content; an existing one is used as it is.

    Raises
    ------
    UserError
        If it is damaged, has entries outside its folder, holds links, or does not fit on the disk.
    """
    try:
        with open_regular(archive):
            pass
        _require_entry(archive)  # before all of it is read
        target = folder / f"{archive.name.partition('.')[0]}-{file_sha256(archive)[:12]}"
        if target.is_dir():
            return target
        temporary = target.with_suffix(".partial")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            with _members(archive) as members:
                _write(archive, members, temporary, progress)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        temporary.rename(target)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise UserError(
            f"'{archive}' cannot be unpacked.", f"{type(error).__name__}: {error}.", "Download it again."
        ) from error
    except OSError as error:
        raise UserError(
            f"'{archive}' cannot be unpacked below '{folder}'.",
            f"{type(error).__name__}: {error.strerror or error}.",
            "Check the file, or set ADU_BENCH_DATA to a folder that you may write to.",
        ) from error
    return target


def _require_entry(archive: Path) -> None:
    """Raise an error of `zipfile` or `tarfile` unless the file is an archive by its directory or its first entry."""
    if archive.name.lower().endswith(".zip"):
        zipfile.ZipFile(archive).close()
    else:
        with tarfile.open(archive, _mode(archive)) as opened:
            if opened.next() is None:
                raise tarfile.ReadError("it has no entry")


def _mode(archive: Path) -> Literal["r:", "r:gz"]:
    return "r:" if archive.name.lower().endswith(".tar") else "r:gz"


@contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            yield [
                _Member(info.filename, info.file_size, lambda info=info: opened.open(info))  # type: ignore[misc]
                for info in opened.infolist()
                if not info.is_dir() and _ordinary(archive, info.filename, stat.S_ISLNK(info.external_attr >> 16))
            ]
    else:
        # Left to guess, tarfile tries to decompress for ever what is no archive.
        with tarfile.open(archive, _mode(archive)) as opened:
            yield [
                _Member(info.name, info.size, lambda info=info: opened.extractfile(info))  # type: ignore[misc]
                for info in _bounded(archive, opened)
                if not info.isdir() and _ordinary(archive, info.name, not info.isfile())
            ]


def _ordinary(archive: Path, name: str, odd: bool) -> bool:
    """Refuse entries that would be written elsewhere, or are links or devices; leave out macOS metadata."""
    path = PurePosixPath(name.replace("\\", "/"))
    if odd or path.is_absolute() or ".." in path.parts or ":" in name.partition("/")[0]:
        raise UserError(
            f"'{archive}' is not safe to unpack.",
            f"Its entry '{name}' is {'a link or device' if odd else 'outside the folder that it is unpacked to'}.",
            "Get the archive from its owners.",
        )
    return "__MACOSX" not in path.parts


def _bounded(archive: Path, opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the entries of a tar file, which are found by reading through all of it."""
    for info in opened:
        _require_likely(archive, info.offset_data + info.size)
        yield info


def _require_likely(archive: Path, size: int) -> None:
    if size > max(_SMALL, _RATIO * archive.stat().st_size):
        raise UserError(
            f"'{archive}' is not an archive of images.",
            f"It holds more than {_RATIO} times its own size.",
            "Get the archive from its owners.",
        )


def _write(archive: Path, members: list[_Member], folder: Path, progress: Count) -> None:
    if not members:
        raise UserError(f"'{archive}' holds no files.", "It is empty or cut off.", "Download it again.")
    size, free = sum(member.size for member in members), shutil.disk_usage(folder).free
    _require_likely(archive, size)
    if size + _SPARE > free:
        raise UserError(
            f"'{archive}' does not fit below '{folder.parent}'.",
            f"It holds {size / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free.",
            "Set ADU_BENCH_DATA to a folder on a larger disk.",
        )
    for number, member in enumerate(members, start=1):
        path = folder / member.name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        source = member.open()
        assert source is not None
        with source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
        progress(number, len(members))
