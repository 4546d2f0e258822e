"""Write the first version of a new method."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue
from adu_bench.registry.scaffold import file_name, method_text, test_text


def new_method(name: str, *, like: str = "baseline", out: str | Path = ".") -> tuple[Path, Path]:
    """Write a method's file, which starts as a copy of another method, and a test; return both paths.

    Parameters
    ----------
    name
        The new method's name: lower-case letters and digits, in parts with hyphens between them.
    like
        A method whose code the new one starts from.
    out
        Folder for both files; it is made if it does not exist.

    Raises
    ------
    UserError
        If the name cannot be used or is taken, a file exists, or there is no method to start from.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UserError(
            f"'{name}' cannot be the name of a method.",
            "A name has lower-case letters and digits, in parts with hyphens between them, and begins with a letter.",
            "For example: adu-bench new method my-method",
        )
    catalogue = Catalogue()
    if name in catalogue.presets:
        raise UserError(
            f"There is already a method called '{name}'.",
            "Two methods cannot share a name on a board.",
            f"Choose another name, for example: adu-bench new method my-{name}",
        )
    entry = catalogue.select([like])[0].entry
    folder = Path(out)
    method, test = folder / file_name(name), folder / f"test_{file_name(name)}"
    for path in (method, test):
        if path.exists():
            raise UserError(
                f"'{path}' exists.",
                "A new method does not overwrite a file.",
                f"Choose another folder, for example: adu-bench new method {name} --out new-{name}",
            )
    folder.mkdir(parents=True, exist_ok=True)
    method.write_text(method_text(entry, name, datetime.now(UTC).year), encoding="utf-8")
    test.write_text(test_text(name), encoding="utf-8")
    return method, test
