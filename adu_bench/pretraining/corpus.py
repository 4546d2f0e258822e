"""Training images of the shipped model: drawings by many artists with their names, without any held-out image."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from adu_bench.core.errors import UserError
from adu_bench.data import emoji, emoji_names, toy
from adu_bench.data.preprocessing import Preprocessing

SIZE = 48
STYLE_PACKAGES = {
    "emojione": "EmojiOne",
    "emojione-monotone": "EmojiOne",
    "emojione-v1": "EmojiOne 1",
    "fluent-emoji": "Fluent",
    "fluent-emoji-flat": "Fluent",
    "fluent-emoji-high-contrast": "Fluent",
    "fxemoji": "Firefox OS",
    "noto": "Noto",
    "noto-v1": "Noto",
    "streamline-emojis": "Streamline",
}
"""npm packages ``@iconify-json/NAME`` used for training only, and the artist of each."""
SKIN_TONES = ("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF")
SKIPPED = ("country-flag", "subdivision-flag")
"""Subcategories left out: flags would be a tenth of the corpus, and their names do not describe their appearance."""


@dataclass(frozen=True)
class Corpus:
    """Images with captions, classes and styles.

    Parameters
    ----------
    pixels
        uint8, (N, 48, 48, 3).
    names
        The object in each image, for example ``"dog face"``.
    labels
        Class name of each image; empty for images without a class.
    styles
        Style of each image: a domain or a style package.
    """

    pixels: np.ndarray
    names: list[str]
    labels: list[str]
    styles: list[str]

    def without(self, styles: Collection[str]) -> Corpus:
        """Return the images of all other styles."""
        rows = [row for row, style in enumerate(self.styles) if style not in styles]
        texts = ([texts[row] for row in rows] for texts in (self.names, self.labels, self.styles))
        return Corpus(self.pixels[rows], *texts)


def training_corpus(styles_folder: Path) -> Corpus:
    """Draw all pre-training images.

    Parameters
    ----------
    styles_folder
        Folder with the unpacked npm packages: ``NAME/package/icons.json`` for each name in `STYLE_PACKAGES`, where
        NAME may carry a prefix and a version, as ``npm pack`` and ``tar`` leave them.

    Raises
    ------
    UserError
        If a package is missing.
    """
    index = emoji.load_index()
    named = emoji_names.named_emoji()
    named = named[~named["subcategory"].isin(SKIPPED)].set_index("codepoint")
    held_out = _held_out(index)
    labels = dict(zip(index["codepoint"], index["label"], strict=True))
    parts: list[tuple[str, str, str, np.ndarray]] = []
    for domain, artist in emoji.HANDS.items():
        have = emoji.codepoints(domain)
        for codepoint, name in named["name"].items():
            if codepoint in have and (emoji_names.without_gender(codepoint), artist) not in held_out:
                parts.append((name, labels.get(codepoint, ""), domain, emoji.draw(emoji.svg(codepoint, domain))))
    slugs = _slugs(styles_folder)
    for style, artist in STYLE_PACKAGES.items():
        for codepoint, drawing in _style_drawings(_package_folder(styles_folder, style), slugs):
            if codepoint in named.index and (emoji_names.without_gender(codepoint), artist) not in held_out:
                parts.append((named["name"][codepoint], labels.get(codepoint, ""), style, emoji.draw(drawing)))
    shapes = toy.load_index()
    shapes = shapes[shapes["pool"] == "pretrain"]
    parts += [
        (label, label, domain, image)
        for label, domain, image in zip(shapes["label"], shapes["domain"], toy.render(shapes), strict=True)
    ]
    return _collect(parts)


def pool_corpus(pool: str, classes: Sequence[str] | None = None) -> Corpus:
    """Draw the images of one held-out pool of the emoji (all classes, or the given ones) and toy sets."""
    index = emoji.load_index()
    index = index[(index["pool"] == pool) & (index["label"].isin(classes) if classes is not None else True)]
    shapes = toy.load_index()
    shapes = shapes[shapes["pool"] == pool]
    parts = [
        (name, label, domain, image)
        for rows, draw in ((index, emoji.render), (shapes, toy.render))
        for name, label, domain, image in zip(rows["name"], rows["label"], rows["domain"], draw(rows), strict=True)
    ]
    return _collect(parts)


def write_vocabulary(texts: list[str], path: Path) -> None:
    """Write the byte-pair merges that ``texts`` use, in CLIP's order; other merges do not affect their tokens."""
    from open_clip.tokenizer import SimpleTokenizer

    full = SimpleTokenizer()
    used: set[tuple[str, str]] = set()
    for text in texts:
        for word in full.pat.findall(text.lower()):
            used |= _merges(full, "".join(full.byte_encoder[byte] for byte in word.encode()))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in sorted(used, key=full.bpe_ranks.__getitem__)), ""]
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def _merges(full, word: str) -> set[tuple[str, str]]:
    parts = [*word[:-1], word[-1] + "</w>"]
    used: set[tuple[str, str]] = set()
    while len(parts) > 1:
        best = min(itertools.pairwise(parts), key=lambda pair: full.bpe_ranks.get(pair, float("inf")))
        if best not in full.bpe_ranks:
            break
        used.add(best)
        merged: list[str] = []
        for part in parts:
            if merged and (merged[-1], part) == best:
                merged[-1] += part
            else:
                merged.append(part)
        parts = merged
    return used


def _held_out(index: pd.DataFrame) -> set[tuple[str, str]]:
    """Return the (emoji without gender, artist) pairs that have an image in a held-out pool."""
    rows = index[index["pool"] != "pretrain"]
    return set(zip(rows["codepoint"].map(emoji_names.without_gender), rows["hand"], strict=True))


def _package_folder(folder: Path, style: str) -> Path:
    found = sorted(
        path
        for path in folder.glob("*/package")
        if (path / "info.json").is_file() and json.loads((path / "info.json").read_text()).get("prefix") == style
    )
    if not found:
        raise UserError(
            f"The style package '{style}' is not in '{folder}'.",
            "Pre-training needs its drawings.",
            f"npm pack @iconify-json/{style}, and unpack the file into a separate folder there.",
        )
    return found[0]


def _slugs(folder: Path) -> dict[str, str]:
    """Map emoji names, reduced to letters and digits, to code points; most style packages use such names."""
    slugs: dict[str, str] = {}
    for style in ("noto", "fluent-emoji-flat"):
        characters = json.loads((_package_folder(folder, style) / "chars.json").read_text(encoding="utf-8"))
        for code, name in characters.items():
            slugs.setdefault(_letters(name), emoji.plain(code))
    for row in emoji_names.named_emoji().itertuples():
        slugs.setdefault(_letters(row.name), row.codepoint)
    return slugs


def _letters(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _style_drawings(folder: Path, slugs: dict[str, str]) -> Iterator[tuple[str, str]]:
    icons = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    done: set[str] = set()
    for name, icon in sorted(icons["icons"].items()):
        codepoint = slugs.get(_letters(name))
        if codepoint is None or codepoint in done or any(tone in codepoint for tone in SKIN_TONES):
            continue
        done.add(codepoint)
        width = icon.get("width", icons.get("width", 16))
        height = icon.get("height", icons.get("height", 16))
        left, top = icon.get("left", 0), icon.get("top", 0)
        yield (
            codepoint,
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>',
        )


def _collect(parts: list[tuple[str, str, str, np.ndarray]]) -> Corpus:
    names, labels, styles, images = zip(*parts, strict=True)
    return Corpus(np.stack([small(image) for image in images]), list(names), list(labels), list(styles))


def small(image: np.ndarray) -> np.ndarray:
    """Resize an image to the model's input, uint8, (48, 48, 3), as in the evaluation."""
    return Preprocessing(SIZE, "bicubic", "shortest").apply(Image.fromarray(image))


def fingerprint(corpus: Corpus) -> str:
    """Return a digest of a corpus for the model card: SHA-256 over pixels and texts, 20 hexadecimal digits."""
    total = hashlib.sha256(np.ascontiguousarray(corpus.pixels).tobytes())
    total.update(json.dumps([corpus.names, corpus.labels, corpus.styles]).encode())
    return total.hexdigest()[:20]
