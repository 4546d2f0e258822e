"""Escape untrusted texts for Markdown, LaTeX and spreadsheets."""

from __future__ import annotations

from typing import Any

_FORMULA = tuple("=+-@")
_TEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    | {"<": "\\textless{}", ">": "\\textgreater{}"}
)


def markdown_text(text: str) -> str:
    """Escape a text so that Markdown shows it as it is, on one line."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>|~#" else character for character in _line(text))


def markdown_code(text: str) -> str:
    """Return a name as Markdown code that the name cannot end, also inside a table."""
    return "`" + _line(text).replace("`", "'").replace("|", "\\|") + "`"


def tex_text(text: str) -> str:
    """Escape a text for LaTeX."""
    return _line(text).translate(_TEX)


def spreadsheet_text(value: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.lstrip()[:1] in _FORMULA else value


def _line(text: str) -> str:
    return " ".join(str(text).split())
