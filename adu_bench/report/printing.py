"""How figures and tables are printed: width, size of text, a style sheet, and the names and order of methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from adu_bench.core.errors import UserError
from adu_bench.core.yaml_files import read_yaml

ONE_COLUMN, TWO_COLUMNS = 3.4, 6.9
"""Print widths in inches: one column, and the text of a page with two columns."""
WIDTHS = {"one": ONE_COLUMN, "two": TWO_COLUMNS}
FONT_SIZE = 7.5
"""Size of text in points, of which all other sizes are multiples."""
NARROWEST, WIDEST = 2.5, 20.0
SMALLEST, LARGEST = 4.0, 20.0


class _HasMethod(Protocol):
    @property
    def method(self) -> str: ...


_Row = TypeVar("_Row", bound=_HasMethod)


@dataclass(frozen=True)
class Printing:
    """How figures and tables are printed.

    Parameters
    ----------
    width
        Of the widest figures, in inches, 2.5..20.
    font_size
        In points, 4..20.
    sheet
        A style sheet of matplotlib, by name or path, over the shared style; empty for none.
    labels
        Printed names by method.  These methods come first, in this order; the others keep the order of the board.
    """

    width: float = TWO_COLUMNS
    font_size: float = FONT_SIZE
    sheet: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


_USUAL = Printing()
_CURRENT: ContextVar[Printing] = ContextVar("printing", default=_USUAL)


@contextmanager
def printed(how: Printing) -> Iterator[None]:
    """Print in a way inside a ``with`` block."""
    token = _CURRENT.set(how)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current() -> Printing:
    """Return how to print."""
    return _CURRENT.get()


def page_width() -> float:
    """Return the width of the widest figures in inches."""
    return current().width


def scale() -> float:
    """Return the size of text as a multiple of `FONT_SIZE`; spaces that hold text grow with it."""
    return current().font_size / FONT_SIZE


def points(size: float) -> float:
    """Return a size of text in points that is ``size`` where the size of text is `FONT_SIZE`."""
    return size * scale()


def across(least: float) -> int:
    """Return how many panels of at least ``least`` inches, which grow with the text, stand side by side: at least 1."""
    return max(1, int(page_width() / (least * scale()) + 1e-9))


def text_width(text: str, bold: bool = False) -> float:
    """Return the width of a text of `FONT_SIZE` points in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(size=FONT_SIZE, weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, prop=font).get_extents().width) / 72 if text.strip() else 0.0


def name_of(method: str) -> str:
    """Return a method's printed name; overrides of fields (``adu[gamma=3.0]``) stay behind it."""
    labels = current().labels
    base, bracket, rest = method.partition("[")
    return labels.get(method) or labels.get(base, base) + bracket + rest


def in_order(rows: Sequence[_Row]) -> list[_Row]:
    """Return rows in the order of printing."""
    places = {method: place for place, method in enumerate(current().labels)}
    return sorted(rows, key=lambda row: places.get(row.method, len(places)))


def printing_of(width: str = "", font_size: float = FONT_SIZE, sheet: str = "", labels: str = "") -> Printing:
    """Return how to print, from the texts of options.

    Parameters
    ----------
    width
        ``one`` or ``two`` columns, or inches; empty for two.
    font_size
        In points.
    sheet
        Name or path of a style sheet of matplotlib.
    labels
        Path of a YAML file: methods and their printed names, in the order of printing.

    Raises
    ------
    UserError
        If a value is out of range, or a file is not what it should be.
    """
    if not SMALLEST <= font_size <= LARGEST:
        raise UserError(
            f"Text of {font_size:g} points cannot be printed.",
            f"Sizes are from {SMALLEST:g} to {LARGEST:g} points.",
            "--font-size 8",
        )
    if sheet:
        _check_sheet(sheet)
    return Printing(_inches(width) if width else TWO_COLUMNS, font_size, sheet, _labels(labels) if labels else {})


def _inches(width: str) -> float:
    if width in WIDTHS:
        return WIDTHS[width]
    try:
        inches = float(width)
    except ValueError:
        inches = 0.0
    if not NARROWEST <= inches <= WIDEST:
        raise UserError(
            f"'{width}' is not a width.",
            f"A width is 'one' or 'two' columns, or {NARROWEST:g} to {WIDEST:g} inches.",
            "--width one",
        )
    return inches


def _check_sheet(sheet: str) -> None:
    import matplotlib
    from matplotlib import style

    try:
        with matplotlib.rc_context(), style.context(sheet):
            pass
    except (OSError, ValueError) as error:
        raise UserError(
            f"The style '{sheet}' cannot be used.",
            f"It is neither a file nor a style sheet of matplotlib ({str(error).splitlines()[0]}).",
            "--style grayscale",
        ) from error


def _labels(file: str) -> dict[str, str]:
    try:
        found, _ = read_yaml(Path(file))
        reason = "Each line of the file has a method and its printed name, such as 'adu: ADU'."
    except (OSError, ValueError) as error:
        found, reason = None, f"{getattr(error, 'strerror', None) or error}."
    texts = found if isinstance(found, dict) else {}
    if not texts or not all(isinstance(one, str) and one.strip() for pair in texts.items() for one in pair):
        raise UserError(
            f"'{file}' does not name methods.",
            reason,
            f"printf 'adu: ADU\\nzero-shot: Zero-shot CLIP\\n' > {file}",
        )
    return texts
