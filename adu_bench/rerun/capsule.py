"""The folder that a method's process works in: its code and its few-shot images, then what it leaves there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adu_bench.core.errors import RunFailed

METHOD = "method.py"
_LARGEST = 8 * 2**30
"""Bound in bytes of a saved classifier."""
_LONGEST = 300
"""Bound in characters of a method's message."""


@dataclass(frozen=True)
class Capsule:
    """The files of a capsule.  What a method's process wrote is read as untrusted input.

    Parameters
    ----------
    folder
        Absolute path of the folder.
    """

    folder: Path

    @property
    def method(self) -> Path:
        """The method's file, beside the modules that it imports."""
        return self.folder / "code" / METHOD

    @property
    def job(self) -> Path:
        """What is to be run, JSON."""
        return self.folder / "job.json"

    @property
    def classifier(self) -> Path:
        """The classifier that training saved."""
        return self.folder / "method.safetensors"

    @property
    def images(self) -> Path:
        """The images to answer, uint8 (N, S, S, 3)."""
        return self.folder / "images.npy"

    @property
    def logits(self) -> Path:
        """The answers, float32 (N, C), without a header."""
        return self.folder / "logits.bin"

    @property
    def reason(self) -> Path:
        """Why a step failed."""
        return self.folder / "reason.txt"

    def fill(self, code: Mapping[str, Path], job: Mapping[str, Any]) -> None:
        """Write the code, by names in the folder of the method's file, and what is to be run."""
        for name, path in code.items():
            target = self.method.parent / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        self.job.write_text(json.dumps(job), encoding="utf-8")

    def require_classifier(self) -> Path:
        """Return the path of the saved classifier.

        Raises
        ------
        RunFailed
            If it is not a file, or too large.
        """
        if _size(self.classifier, "a classifier") > _LARGEST:
            raise RunFailed(f"The method's process left a classifier of more than {_LARGEST:,} bytes.")
        return self.classifier

    def read_logits(self, count: int, classes: int) -> np.ndarray:
        """Return the logits, float32 (count, classes).

        Raises
        ------
        RunFailed
            If they are missing, too few or too many.
        """
        if _size(self.logits, "answers") != 4 * count * classes:
            raise RunFailed("The method's process left too few or too many answers.")
        return np.fromfile(self.logits, np.float32).reshape(count, classes)

    def failure(self, status: int) -> str:
        """Say why a step failed; a method may write anything as its reason."""
        if self.reason.is_symlink() or not self.reason.is_file():
            return f"The method's process ended with status {status}{', often for lack of memory' * (status == -9)}."
        with self.reason.open(encoding="utf-8", errors="replace") as handle:
            text = handle.read(_LONGEST)
        return "The method failed: " + "".join(letter if letter.isprintable() else " " for letter in text)


def _size(path: Path, what: str) -> int:
    if path.is_symlink() or not path.is_file():
        raise RunFailed(f"The method's process ended without {what}.")
    return path.stat().st_size
