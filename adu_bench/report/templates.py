"""Page templates: everything is escaped by default, and undefined names are errors."""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from adu_bench.core.paths import RESOURCES


def environment(folder: str) -> Environment:
    """Return the environment of the templates in a folder of the package's resources."""
    return Environment(
        loader=FileSystemLoader(RESOURCES / folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
