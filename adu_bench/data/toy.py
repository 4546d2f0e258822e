"""Simple shapes in four drawing styles, generated in memory from a seed, for tests and for checks of methods."""

from __future__ import annotations

import hashlib
import math
from functools import cache

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from adu_bench.core.seeds import derive

SIZE = 48
"""Side of an image in pixels."""
SHAPES = ("circle", "square", "triangle", "star", "cross", "crescent")
STYLES = ("filled", "outline", "hatched", "inverted")
POOLS = {"pretrain": 40, "train": 12, "validation": 8, "test": 20}
"""Number of images of each pool in every (shape, style)."""
_FINE = 4 * SIZE


@cache
def load_index() -> pd.DataFrame:
    """Return the index, one row per image: image, name, hand, domain, label, group, pool, sha256.

    ``sha256`` hashes the parameters of the drawing, since a graphics library may round its pixels differently.
    """
    rows = []
    for style in STYLES:
        for shape in SHAPES:
            for pool, count in POOLS.items():
                for number in range(count):
                    image = f"{shape}.{style}.{pool}.{number:02d}"
                    content = hashlib.sha256(f"toy-1:{image}".encode()).hexdigest()
                    rows.append((image, shape, "toy", style, shape, image, pool, content))
    return pd.DataFrame(rows, columns=["image", "name", "hand", "domain", "label", "group", "pool", "sha256"])


def render(rows: pd.DataFrame) -> np.ndarray:
    """Draw the images of index rows: uint8, (N, 48, 48, 3)."""
    return np.stack(
        [_draw(image, shape, style) for image, shape, style in rows[["image", "label", "domain"]].to_numpy()]
    )


def _draw(image: str, shape: str, style: str) -> np.ndarray:
    rng = np.random.default_rng(derive(1, "toy", image))
    mask = Image.new("L", (_FINE, _FINE))
    _fill(ImageDraw.Draw(mask), shape, rng)
    inside = np.asarray(mask.resize((SIZE * 2, SIZE * 2), Image.Resampling.BOX), np.float32) / 255
    colour = rng.uniform(0.05, 0.75, size=3)
    ink = _ink(inside, style, rng)
    pale, dark = np.ones(3), colour * 0.45
    background, foreground = (dark, pale) if style == "inverted" else (pale, colour)
    pixels = background + ink[..., None] * (foreground - background)
    fine = Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8))
    return np.asarray(fine.resize((SIZE, SIZE), Image.Resampling.BOX))


def _fill(draw: ImageDraw.ImageDraw, shape: str, rng: np.random.Generator) -> None:
    radius = _FINE * rng.uniform(0.26, 0.42)
    centre = _FINE / 2 + rng.uniform(-1, 1, size=2) * (_FINE * 0.46 - radius)
    turn = rng.uniform(-0.25, 0.25)
    if shape == "circle":
        draw.ellipse([*(centre - radius), *(centre + radius)], fill=255)
    elif shape == "crescent":
        draw.ellipse([*(centre - radius), *(centre + radius)], fill=255)
        bite = centre + radius * 0.55 * np.array([math.cos(turn), math.sin(turn)])
        draw.ellipse([*(bite - radius * 0.85), *(bite + radius * 0.85)], fill=0)
    else:
        draw.polygon([tuple(centre + radius * point) for point in _outline(shape, turn)], fill=255)


def _outline(shape: str, turn: float) -> np.ndarray:
    if shape == "cross":
        quarter = np.array([[0.33, -1], [0.33, -0.33], [1, -0.33]])
        points = np.concatenate([quarter @ _rotation(step * math.pi / 2).T for step in range(4)])
    else:
        corners, inner = {"square": (4, None), "triangle": (3, None), "star": (5, 0.42)}[shape]
        steps = corners * (1 if inner is None else 2)
        angles = -math.pi / 2 + np.arange(steps) * 2 * math.pi / steps + (math.pi / 4 if shape == "square" else 0)
        radii = np.where(np.arange(steps) % 2 == 0, 1.0, inner if inner is not None else 1.0)
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
    return points @ _rotation(turn).T


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _ink(inside: np.ndarray, style: str, rng: np.random.Generator) -> np.ndarray:
    if style in ("filled", "inverted"):
        return inside
    rim = inside - _eroded(inside, 5)
    if style == "outline":
        return rim
    rows, columns = np.indices(inside.shape)
    stripes = ((rows + columns + int(rng.integers(12))) % 12 < 4).astype(np.float32)
    return np.maximum(rim, inside * stripes)


def _eroded(inside: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        padded = np.pad(inside, 1)
        inside = np.minimum.reduce([inside, padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
    return inside
