"""The zip file of a submission: written the same each time, and read as if a stranger had made it."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from adu_bench.core.errors import UserError
from adu_bench.submission.refusal import Refused, shown

MANIFEST, METHOD = "submission.json", "method.py"
RUN, PREDICTIONS = "run.json", "predictions.parquet"
MIB = 2**20
_KINDS = {MANIFEST: 4 * MIB, RUN: MIB, PREDICTIONS: 64 * MIB}
"""The files of a bundle by the last part of their names, and how large each may be, unpacked."""
_CODE = MIB // 4
"""How large the method's file, and each module that it imports from beside it, may be."""
_MODULE = r"(?!runs/)([a-z_][a-z0-9_]{0,63}/){0,4}[a-z_][a-z0-9_]{0,63}\.py"
_NAME = re.compile(rf"submission\.json|{_MODULE}|runs/[0-9a-f]{{20}}/(run\.json|predictions\.parquet)")
MOST_ENTRIES = 4002
MOST_BYTES = 2048 * MIB
_DIRECTORY_ENTRY = 256
"""Bytes that an entry of the zip's directory may take: more than twice what the longest name needs."""
_END, _END64 = b"PK\x05\x06", b"PK\x06\x07"
_DAMAGES = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, RuntimeError, ValueError)
"""What the zip library raises on files that are none; encrypted and odd entries are `RuntimeError` and its kin."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_BLOCK = 64 * 1024


def may_hold(name: str) -> bool:
    """Return whether a bundle may have a file of this name."""
    return _NAME.fullmatch(name) is not None


def pack(path: Path, files: Mapping[str, bytes | Path]) -> None:
    """Write files into a zip file; equal content gives equal bytes."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(
            f"The bundle '{path}' cannot be written.", f"{error.strerror or error}.", "Choose another file with --out."
        ) from error


def unpack(path: Path, folder: Path) -> dict[str, Path]:
    """Unpack a bundle into an empty folder.

    Only names that a bundle may have are accepted, each once, so that no entry can leave the folder; sizes are
    bounded by what is declared before anything is read, and by what comes out while reading.

    Returns
    -------
    dict
        The unpacked files by their names in the bundle.

    Raises
    ------
    Refused
        If anything in it is not as `pack` makes it.
    """
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            return {entry.filename: _extract(archive, entry, folder) for entry in entries}
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        EOFError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:
        raise Refused(f"the zip file is damaged: {shown(error)}") from error


def _check_directory(path: Path) -> None:
    """Bound the zip's directory before the library reads all of it into memory."""
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            handle.seek(max(0, size - 42))
            tail = handle.read()
    except OSError as error:
        raise UserError(
            f"The bundle '{path}' cannot be read.", f"{error.strerror or error}.", "Name a file that submit wrote."
        ) from error
    if tail[-22:-18] != _END or tail[-2:] != b"\0\0":
        raise Refused("it is no zip file, or one with something behind its end")
    if tail[:4] == _END64:
        raise Refused("it is a zip64 file, which no bundle needs")
    count, length = struct.unpack("<HL", tail[-12:-6])
    if count > MOST_ENTRIES or length > count * _DIRECTORY_ENTRY or size > MOST_BYTES:
        raise Refused(f"it has {count} entries in {size} bytes; at most {MOST_ENTRIES} in {MOST_BYTES} are read")


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    seen = set()
    for entry in entries:
        name = entry.filename
        if entry.orig_filename != name or not may_hold(name):
            raise Refused(f"a bundle has no file called {shown(entry.orig_filename)}")
        if name in seen:
            raise Refused(f"it has two files called {name}")
        seen.add(name)
        mode = entry.external_attr >> 16
        if entry.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
            raise Refused(f"{name} is a link or a folder, not a file")
        if entry.flag_bits & 0x1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"{name} is encrypted, or packed in an unusual way")
        if entry.file_size > _most(name):
            raise Refused(f"{name} has {entry.file_size} bytes unpacked, more than the {_most(name)} allowed")
    if sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise Refused(f"it has more than {MOST_BYTES} bytes unpacked")


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> Path:
    target = folder / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as packed, target.open("xb") as unpacked:
        written = 0
        for block in iter(lambda: packed.read(_BLOCK), b""):
            written += len(block)
            if written > entry.file_size:
                raise Refused(f"{entry.filename} holds more than the {entry.file_size} bytes that it declares")
            unpacked.write(block)
    if written != entry.file_size:
        raise Refused(f"{entry.filename} holds less than the {entry.file_size} bytes that it declares")
    return target


def _most(name: str) -> int:
    return _KINDS.get(name.rpartition("/")[2], _CODE)
