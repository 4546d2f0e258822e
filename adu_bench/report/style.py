"""The style of all figures and pages: a fixed colour and marker for each method, fonts, and saving."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adu_bench.core.files import replacing
from adu_bench.core.hashing import digest
from adu_bench.report.printing import FONT_SIZE, current, points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 300
"""Resolution of raster images; lines are stored as vectors."""
INK, QUIET, FAINT = "#1a1a1a", "#6b6b6b", "#d9d9d9"
"""Colours of text and axes, of secondary elements, and of grids and guides."""
SEQUENTIAL = "YlGnBu"
"""Colour map for amounts: light to dark, so that the order also shows in grey and to colour-blind readers."""


@dataclass(frozen=True)
class Look:
    """How a method is drawn everywhere.

    Parameters
    ----------
    colour
        Hexadecimal, ``#rrggbb``.
    marker
        A marker of matplotlib.
    filled
        Whether the marker is filled: ranked methods are, references and variants are hollow.
    """

    colour: str
    marker: str
    filled: bool = True

    def points(self) -> dict[str, Any]:
        """Return keywords for ``Axes.plot`` and ``Axes.errorbar``."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markerfacecolor": self.colour if self.filled else "white",
            "markeredgecolor": self.colour,
        }


# For the paper's methods Okabe and Ito's colours, which colour-blind readers can distinguish; greys for references.
_SHIPPED = {
    "adu": Look("#d55e00", "o"),
    "adu-released": Look("#e69f00", "s"),
    "baseline": Look("#0072b2", "^"),
    "clipfit": Look("#009e73", "v"),
    "bbf": Look("#cc79a7", "D"),
    "lp-plus-plus": Look("#56b4e9", "P"),
    "zero-shot": Look("#1a1a1a", "X", filled=False),
    "prompt-tuning": Look("#4d4d4d", "^", filled=False),
    "gate-prompt-tuning": Look("#4d4d4d", "h", filled=False),
    "domain-gate": Look("#737373", "s", filled=False),
    "derange-gate": Look("#737373", "D", filled=False),
    "collapse": Look("#8c8c8c", "v", filled=False),
    "coin": Look("#8c8c8c", "o", filled=False),
}
_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "h", "<", ">", "p", "d")
# The other families each have a colour of Paul Tol's muted scheme, and their methods a marker.
_FAMILIES = {
    "#44aa99": {"ntl": "h", "cuti-domain": "p", "ip-clip": "^", "aod-ip": "v"},
    "#332288": {
        "coop": "o",
        "cocoop": "D",
        "maple": "v",
        "prompt-src": "P",
        "clip-lora": "h",
        "task-res": "s",
        "tip-adapter": "^",
    },
    "#117733": {"leace": "X", "null-space": "P", "text-gate": "D"},
    # Methods that train weights, and those that edit them at once.
    "#882255": {
        "gradient-ascent": "^",
        "neg-grad-plus": "D",
        "random-label": "s",
        "bad-teacher": "v",
        "scrub": "p",
        "salun": "d",
        "l1-sparse": "h",
        "sfr-on": "<",
        "spotter": "X",
        "rmu": "P",
    },
    "#cc6677": {"ssd": "s", "lfssd": ">", "slug": "P", "task-negation": "v"},
    "#aa4499": {"anchored": "X"},
}
_SHIPPED |= {name: Look(colour, marker) for colour, markers in _FAMILIES.items() for name, marker in markers.items()}
# Hollow markers of the ablations; the circle is that of the whole method.
_VARIANTS = {
    "adu-no-ddl": "v",
    "adu-no-instapg": ">",
    "adu-ce-only": "h",
    "adu-mmd-only": "<",
    "adu-neg-entropy": "^",
    "adu-mmd-logits": "s",
    "adu-fixed-bandwidth": "p",
    "adu-pair-sum": "D",
    "adu-plain-instapg": "P",
    "adu-text-prompts": "d",
    "adu-balanced": "X",
}
_GREYS = ("#4d4d4d", "#737373", "#8c8c8c")
# Colours that no shipped method has.
_OTHERS = ("#999933", "#6699cc", "#7a5c3e")

DOMAIN_LOOKS = tuple(
    Look(colour, marker)
    for colour, marker in zip(
        ("#332288", "#44aa99", "#cc6677", "#999933", "#882255", "#6699cc", "#117733", "#aa4499"),
        ("o", "s", "^", "D", "v", "P", "X", "h"),
        strict=True,
    )
)
"""Looks of domains, in a suite's order; no method of the paper has one of these colours."""


def look(label: str, group: str = "") -> Look:
    """Return the look of a method, which depends on its label and group alone.

    Each method of the paper has its own colour, each other family one, in which its methods have a marker each.
    A variant (``adu[gamma=3.0]``, or an ablation such as ``adu-no-ddl``) has its method's colour and a hollow marker;
    references are grey; the colour and marker of any other method follow from its name.

    Parameters
    ----------
    label
        The method's label, with overrides if it has any.
    group
        The method's group, if it is known.
    """
    if label in _SHIPPED:
        return _SHIPPED[label]
    number = int(digest(label), 16)
    marker = _VARIANTS.get(label, _MARKERS[number % len(_MARKERS)])
    base = label.partition("[")[0]
    owner = base if base != label else _owner(base, group)
    if owner:
        return Look(look(owner, group).colour, marker, filled=False)
    colours = _GREYS if group == "reference" else _OTHERS
    return Look(colours[number // len(_MARKERS) % len(colours)], marker, filled=group != "reference")


def _owner(name: str, group: str) -> str:
    """Return the shipped method that an ablation belongs to: the longest whose name it starts with."""
    if group != "ablation":
        return ""
    return max((known for known in _SHIPPED if name.startswith(f"{known}-")), key=len, default="")


@contextmanager
def style() -> Iterator[None]:
    """Make matplotlib draw in the shared style inside a ``with`` block; the user's settings have no effect there.

    A style sheet of `adu_bench.report.printing.Printing` comes on top of it.
    """
    import matplotlib
    import matplotlib.style

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        for name, value in _settings().items():
            matplotlib.rcParams[name] = value  # type: ignore[literal-required, index]
        if current().sheet:
            matplotlib.style.use(current().sheet)
            matplotlib.rcParams.update(_FIXED)  # type: ignore[arg-type]
        yield


def save(figure: Figure, stem: Path, formats: Sequence[str] = ("pdf", "png")) -> list[Path]:
    """Write a figure without date or random identifiers: the same data give the same bytes.

    Parameters
    ----------
    figure
        The figure; it must be drawn and saved within `style`.
    stem
        Path without ending.
    formats
        ``pdf``, ``png`` or ``svg``.

    Returns
    -------
    list of Path
        The written files.
    """
    nothing: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
    }
    written = []
    for kind in formats:
        path = stem.with_name(f"{stem.name}.{kind}")
        # In memory, as matplotlib hides the reason where a file cannot be written.
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, dpi=DPI, metadata=nothing[kind])
        with replacing(path) as temporary:
            temporary.write_bytes(drawn.getvalue())
        written.append(path)
    return written


# Editable text in PDF, as publishers ask for; fixed identifiers in SVG; dollar signs in names are not formulas.
_FIXED: dict[str, Any] = {"pdf.fonttype": 42, "svg.hashsalt": "adu-bench", "text.parse_math": False}


def _settings() -> dict[str, Any]:
    return {
        **_FIXED,
        # This font comes with matplotlib, so it is the same on every machine.
        "font.family": "DejaVu Sans",
        "font.size": points(FONT_SIZE),
        "axes.titlesize": points(8),
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": points(7.5),
        "xtick.labelsize": points(7),
        "ytick.labelsize": points(7),
        "legend.fontsize": points(7),
        "legend.frameon": False,
        "legend.handlelength": 1.2,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": QUIET,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "grid.linewidth": 0.5,
        "lines.linewidth": 1.2,
        "lines.markersize": 4.5,
        "lines.markeredgewidth": 1.0,
        "errorbar.capsize": 0,
        "image.cmap": SEQUENTIAL,
        "figure.dpi": 100,
        "savefig.facecolor": "white",
    }
