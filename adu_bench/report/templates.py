"""Page templates: everything is escaped by default, undefined names are errors, and pages load nothing remote."""

from __future__ import annotations

import base64
import hashlib

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


def resource(name: str) -> str:
    """Return the text of a file of the package's resources: a style or a script."""
    return (RESOURCES / name).read_text(encoding="utf-8")


def policy(style: str, script: str, images: str = "data:") -> str:
    """Return a content security policy that allows this style and script, images from ``images``, and nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src {images}; "
        "base-uri 'none'; form-action 'none'"
    )
