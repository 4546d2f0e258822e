"""Signs in what a method left, and in its answers, that it answers test images from memory."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

import adu_bench.api  # noqa: F401 - defines the known parts
from adu_bench.clip.backbone import Backbone
from adu_bench.clip.part import Part
from adu_bench.core.errors import RunFailed
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.evaluate import Images, predict

STEADY = 0.9
"""Least share of changed copies that must get the answer of their original: a classifier that looks at the image hardly
notices a change of one grey level, and a table of images does not know the copy."""
_CHANGED = 0.05
"""Share of an image's values that change in its copy."""
_GAP, _ERRORS = 0.1, 6.0
"""Most that Mem and For may be higher on test images than on validation images, as a share, and in standard errors of
independent images; both must be exceeded, since the images of a pool are not independent."""


def unknown_parts(path: Path, classes: Sequence[str]) -> list[str]:
    """Return the kinds of a saved classifier's parts that the project does not have, sorted; reads the header only.

    Raises
    ------
    RunFailed
        If the file is not a saved classifier, or is for other classes.
    """
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads(file.metadata()["adu_bench"])
        kinds, named = {str(kind) for _, kind, _ in header["parts"]}, list(header["classes"])
    except Exception as error:
        # The file may hold anything.
        raise RunFailed(f"The method's process did not leave a saved classifier ({type(error).__name__}).") from error
    if named != list(classes):
        raise RunFailed("The saved classifier has other classes than the task.")
    known = {name for name, kind in Part.kinds.items() if kind.__module__.startswith("adu_bench.clip.")}
    return sorted(kinds - known)


def require_steady(frame: pd.DataFrame, copies: pd.DataFrame) -> None:
    """Compare the predictions of images with those of their changed copies.

    Raises
    ------
    RunFailed
        If too few are the same.
    """
    steady = float((frame["predicted"] == copies["predicted"]).mean())
    if steady < STEADY:
        raise RunFailed(
            f"Only {100 * steady:.1f} % of slightly changed images get the answer of their original, as if images were "
            "looked up in a table."
        )


def require_no_memory(test: pd.DataFrame, validation: pd.DataFrame) -> None:
    """Compare the predictions of test images with those of validation images, which the method has not seen either.

    Raises
    ------
    RunFailed
        If Mem or For is much higher on the test images.
    """
    for name, forget in (("Mem", False), ("For", True)):
        wanted, other = (
            ((frame["predicted"] == frame["label"]) != forget)[frame["forget"] == forget]
            for frame in (test, validation)
        )
        if not len(other):
            continue
        both = (wanted.sum() + other.sum()) / (len(wanted) + len(other))
        error = np.sqrt(both * (1 - both) * (1 / len(wanted) + 1 / len(other)))
        if wanted.mean() - other.mean() > max(_GAP, _ERRORS * error):
            raise RunFailed(
                f"{name} is {100 * wanted.mean():.1f} on test images and {100 * other.mean():.1f} on validation "
                "images, so the method knows the test images."
            )


class Line:
    """Images of several pools, and changed copies of those of the first pool, in a secret order.

    Parameters
    ----------
    pools
        Images of one data set; none is empty.
    """

    def __init__(self, pools: Sequence[Images]) -> None:
        self._pools = (pools[0], *pools)
        self._rng = np.random.default_rng(secrets.randbits(128))
        self._order = self._rng.permutation(len(self))

    def __len__(self) -> int:
        return sum(map(len, self._pools))

    def save(self, path: Path) -> None:
        """Write the images, uint8 (N, S, S, 3), in their order."""
        found = [(pool.pixels, row) for pool in self._pools for row in pool.rows]
        copies, shape = len(self._pools[0]), self._pools[0].pixels.shape[1:]
        images = np.lib.format.open_memmap(path, "w+", np.uint8, (len(self), *shape))
        for place, number in enumerate(self._order):
            pixels, row = found[number]
            images[place] = changed_copy(pixels[row], self._rng) if number < copies else pixels[row]
        images.flush()

    def sorted(self, logits: np.ndarray, backbone: Backbone) -> list[pd.DataFrame]:
        """Return the predictions of the copies, and those of each pool.

        Parameters
        ----------
        logits
            Of the images in the secret order, float32 (N, C).
        backbone
            Its device computes them.

        Raises
        ------
        Diverged
            If a logit is NaN or infinite.
        """
        back = np.empty_like(logits)
        back[self._order] = logits
        ends = np.cumsum([len(pool) for pool in self._pools])
        parts = np.split(back, ends[:-1])
        return [_table(part, pool, backbone) for part, pool in zip(parts, self._pools, strict=True)]


def changed_copy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image, uint8, with some of its values changed by one grey level."""
    step = np.where(image < 128, 1, -1).astype(np.int16)
    return (image + step * (rng.random(image.shape) < _CHANGED)).astype(np.uint8)


def _table(logits: np.ndarray, images: Images, backbone: Backbone) -> pd.DataFrame:
    """Return the table of predictions that logits (N, C) give."""
    given = replace(images, frozen=logits)
    return predict(_Logits(backbone), given, EVALUATION_BATCH[backbone.device.type])[0]  # type: ignore[arg-type]


class _Logits:
    """Stands for a classifier whose logits are known; they are given in place of frozen features."""

    image_side_frozen = True

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone

    def features(self, images: Any, frozen: Any) -> Any:
        return frozen

    def classify(self, features: Any, frozen: Any) -> Any:
        return features
