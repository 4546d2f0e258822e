"""Attention of the class token before and after: fixed test images, one row for zero-shot CLIP and one per method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from adu_bench.core.words import counted
from adu_bench.report.figures.common import listed, percent
from adu_bench.report.printing import FONT_SIZE, name_of, page_width, points, scale, text_width
from adu_bench.report.style import INK, QUIET, SEQUENTIAL
from adu_bench.store.artefacts import Artefact

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CEILING = 3.0
"""The end of the colour scale: attention as a multiple of an even share."""
ANSWER = 5.0
"""Points of the answers below the maps."""
RIGHT, WRONG = "\N{CHECK MARK}", "\N{MULTIPLICATION SIGN}"


def attention(maps: Mapping[str, Artefact], forget: tuple[str, ...]) -> Figure:
    """Draw images (columns) and the attention over them (rows), with the answer below each map.

    Parameters
    ----------
    maps
        Attention artefacts of one task by method; all of the same images.
    forget
        The forgotten domains.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    first = next(iter(maps.values()))
    info, count = first.info, len(first.info["images"])
    rows = [("image", None, info["labels"]), ("zero-shot", first.tensors["before"], info["answers_before"])]
    rows += [(method, own.tensors["after"], own.info["answers_after"]) for method, own in maps.items()]
    label, bar, head, foot, gap = (scale() * inches for inches in (0.85, 0.45, 0.42, 0.2, 0.05))
    label = max(label, *(scale() * (text_width(name_of(name)) + 0.15) for name, *_ in rows))
    whole = page_width()
    side = (whole - label - bar) / count
    texts = [
        [
            _broken(_answer(answer, right, values is not None), side - gap)
            for answer, right in zip(answers, info["labels"], strict=True)
        ]
        for _, values, answers in rows
    ]
    line = scale() * (0.03 + 0.1 * max(text.count("\n") + 1 for own in texts for text in own))
    height = head + len(rows) * (side + line) + foot
    figure = Figure(figsize=(whole, height))

    def place(row: int, column: int) -> Axes:
        top = height - head - row * (side + line)
        return figure.add_axes(
            (
                (label + column * side) / whole,
                (top - side) / height,
                (side - gap) / whole,
                (side - gap) / height,
            )
        )

    shades = Normalize(0, CEILING)
    for row, (name, values, _) in enumerate(rows):
        for column in range(count):
            axes = place(row, column)
            image = first.tensors["images"][column]
            if values is None:
                axes.imshow(image, interpolation="lanczos")
            else:
                _overlay(axes, image, values[column], shades)
            forgotten = info["domains"][column] in forget
            _bare(axes, INK if forgotten else QUIET, 1.6 if forgotten else 0.4)
            axes.set_xlabel(texts[row][column], fontsize=points(ANSWER), labelpad=1.5, color=INK)
            if column == 0:
                axes.set_ylabel(name_of(name), rotation=0, ha="right", va="center", labelpad=5)
    for column, domain in enumerate(info["domains"]):
        if column == 0 or info["domains"][column - 1] != domain:
            wide = info["domains"].count(domain)
            x = label + (column + wide / 2) * side - gap / 2
            note = f"{domain}\n(forgotten)" if domain in forget else domain
            figure.text(x / whole, 1 - 0.06 / height, note, ha="center", va="top", fontweight="bold")
    legend = figure.add_axes((1 - (bar - 0.12) / whole, (foot + line) / height, 0.08 / whole, (side + line) / height))
    figure.colorbar(ScalarMappable(shades, SEQUENTIAL), cax=legend, extend="max")
    legend.set_title("share", fontsize=points(6), loc="center", fontweight="normal")
    legend.tick_params(labelsize=points(6))
    if info["attribution"]:
        figure.text(
            0.5, 0.04 / height, f"Images: {info['attribution']}", ha="center", va="bottom", fontsize=points(5.5)
        )
    return figure


def caption(maps: Mapping[str, Artefact], forget: tuple[str, ...], seed: int) -> str:
    """Return the caption."""
    first = next(iter(maps.values()))
    shares = {"zero-shot": first.tensors["before"], **{name: own.tensors["after"] for name, own in maps.items()}}
    kept = [f"{name_of(name)} {percent(float(values.sum(axis=(1, 2)).mean()))}" for name, values in shares.items()]
    return (
        f"Attention of the class token to the patches in the last block, averaged over heads, for "
        f"{counted(len(first.info['images']), 'test image')} drawn by a fixed seed, before and after forgetting "
        f"{listed(forget)} (thick frames), seed {seed}. Share: 1 is even over patches; below each map the answer. All "
        f"of the class token's attention that goes to patches, per cent: {', '.join(kept)}; the rest goes to itself "
        "and to prompts. These are examples; nothing is tested."
    )


def _overlay(axes: Axes, image: np.ndarray, values: np.ndarray, shades: Any) -> None:
    """Draw attention over a grey image, as multiples of an even share of the attention to patches."""
    grey = image @ np.array([0.299, 0.587, 0.114])
    share = values * values.size / max(float(values.sum()), 1e-12)
    side = len(image)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=(0, side, side, 0), interpolation="lanczos")
    axes.imshow(share, cmap=SEQUENTIAL, norm=shades, alpha=0.75, extent=(0, side, side, 0), interpolation="bicubic")


def _answer(answer: str, label: str, graded: bool) -> str:
    if not graded:
        return label
    if not answer:
        return f"{WRONG} (a tie)"
    return f"{RIGHT if answer == label else WRONG} {answer}"


def _broken(text: str, room: float) -> str:
    """Break a text between words so that each line is at most ``room`` inches wide, where its words allow that."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and points(ANSWER) / FONT_SIZE * text_width(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _bare(axes: Axes, colour: str, width: float) -> None:
    axes.set(xticks=[], yticks=[])
    for edge in axes.spines.values():
        edge.set(visible=True, color=colour, linewidth=width)
