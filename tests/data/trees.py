"""Miniature trees of the usual layouts of data sets, with images that all differ."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from PIL import Image


def image_bytes(name: str) -> bytes:
    """Return a small PNG whose bytes follow from a name."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (4, 4), (sha256(name.encode()).digest() * 2)[:48]).save(buffer, "PNG")
    return buffer.getvalue()


def grow(root: Path, folders: Iterable[str], count: int = 6, start: int = 0) -> None:
    """Write ``count`` images into each folder; their bytes follow from the folder's plain last names and a number."""
    for folder in folders:
        for number in range(start, start + count):
            put(root, f"{folder}/{number:03d}.png")


def put(root: Path, path: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(image_bytes(path))


def packed(folder: Path, archive: Path) -> Path:
    """Put a folder's content into a zip archive, and remove the folder."""
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, path.relative_to(folder).as_posix())
    shutil.rmtree(folder)
    return archive


def write_lists(
    folder: Path, domain: str, splits: Mapping[str, Sequence[str]], numbers: Mapping[str, int] | None = None
) -> None:
    """Write one list per split, with one line per image: its path and a class number."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, paths in splits.items():
        lines = [f"{path} {(numbers or {}).get(path.split('/')[-2], 0)}" for path in paths]
        (folder / f"{domain}_{split}.txt").write_text("\n".join(lines) + "\n")
