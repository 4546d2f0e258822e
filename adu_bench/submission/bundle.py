"""The zip file of a submission: its bytes depend on the content alone, and it is read as untrusted input."""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from adu_bench.core.errors import UserError
from adu_bench.core.files import open_regular, replacing
from adu_bench.submission.refusal import Refused, shown

MANIFEST, METHOD = "submission.json", "method.py"
RUN, PREDICTIONS = "run.json", "predictions.parquet"
MIB = 2**20
_KINDS = {MANIFEST: 4 * MIB, RUN: MIB, PREDICTIONS: 64 * MIB}
"""The files of a bundle by the last part of their names, and the largest size of each, unpacked, in bytes."""
_CODE = MIB // 4
"""The largest size of the method's file, and of each module beside it that it imports, in bytes."""
_MODULE = r"(?!runs/)([a-z_][a-z0-9_]{0,63}/){0,4}[a-z_][a-z0-9_]{0,63}\.py"
_NAME = re.compile(rf"submission\.json|{_MODULE}|runs/[0-9a-f]{{20}}/(run\.json|predictions\.parquet)")
MOST_ENTRIES = 4002
MOST_BYTES = 2048 * MIB
_DIRECTORY_ENTRY = 256
"""Most bytes of one entry in the zip's directory: more than twice what the longest name needs."""
_END, _END64 = b"PK\x05\x06", b"PK\x06\x07"
_DAMAGES = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, RuntimeError, ValueError)
"""Exceptions of the zip library for damaged files; encrypted and unusual entries raise `RuntimeError` and the like."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_BLOCK = 64 * 1024


def may_hold(name: str) -> bool:
    """Return whether a bundle may have a file of this name."""
    return _NAME.fullmatch(name) is not None


def pack(path: Path, files: Mapping[str, bytes | Path]) -> None:
    """Write files into a zip file; equal content gives equal bytes.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    try:
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                zipped.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())
    except OSError as error:
        raise UserError(
            f"The bundle '{path}' cannot be written.", f"{error.strerror or error}.", "Choose another file with --out."
        ) from error


def unpack(path: Path, folder: Path) -> dict[str, Path]:
    """Unpack a bundle into an empty folder.

    Only the names of a bundle's files are accepted, each once, so that no entry is written outside the folder.  Sizes
    are checked twice: as declared, before anything is read, and as unpacked, while reading.

    Returns
    -------
    dict
        The unpacked files by their names in the bundle.

    Raises
    ------
    Refused
        If anything in the file differs from what `pack` writes.
    UserError
        If the file cannot be read.
    """
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as zipped:
            entries = zipped.infolist()
            _check_entries(entries)
            return {entry.filename: _extract(zipped, entry, folder) for entry in entries}
    except _DAMAGES as error:
        raise Refused(f"the zip file is damaged: {shown(error)}") from error


def _check_directory(path: Path) -> None:
    """Limit the size of the zip's directory before the library reads all of it into memory."""
    try:
        with open_regular(path) as handle:
            size = os.fstat(handle.fileno()).st_size
            handle.seek(max(0, size - 42))
            tail = handle.read()
    except OSError as error:
        raise UserError(
            f"The bundle '{path}' cannot be read.",
            f"{error.strerror or error}.",
            "Give a file that adu-bench submit wrote.",
        ) from error
    if tail[-22:-18] != _END or tail[-2:] != b"\0\0":
        raise Refused("it is not a zip file, or it has data after the end of the zip file")
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
            raise Refused(f"a bundle does not have a file called {shown(entry.orig_filename)}")
        if name in seen:
            raise Refused(f"it has two files called {name}")
        seen.add(name)
        mode = entry.external_attr >> 16
        if entry.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
            raise Refused(f"{name} is a link or a folder, not a file")
        if entry.flag_bits & 0x1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"{name} is encrypted, or compressed in an unusual way")
        if entry.file_size > _most(name):
            raise Refused(f"{name} has {entry.file_size} bytes unpacked, more than the {_most(name)} allowed")
    if sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise Refused(f"it has more than {MOST_BYTES} bytes unpacked")


def _extract(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> Path:
    target = folder / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipped.open(entry) as packed, target.open("xb") as unpacked:
        written = 0
        for block in iter(lambda: packed.read(_BLOCK), b""):
            written += len(block)
            if written > entry.file_size:
                raise Refused(f"{entry.filename} has more than the {entry.file_size} bytes that it declares")
            unpacked.write(block)
    if written != entry.file_size:
        raise Refused(f"{entry.filename} has fewer than the {entry.file_size} bytes that it declares")
    return target


def _most(name: str) -> int:
    return _KINDS.get(name.rpartition("/")[2], _CODE)
