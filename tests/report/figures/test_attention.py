"""The attention figure: answers below the maps stay readable."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from adu_bench.report.figures.attention import attention
from adu_bench.store.artefacts import Artefact

NAMES = ["person doing sport", "drink or tableware", "fruit or vegetable", "mammal"]


def made() -> Artefact:
    """Return an artefact of eight images, two of each domain."""
    maps = np.random.default_rng(0).random((8, 4, 4))
    info = {
        "images": [f"{number}.png" for number in range(8)],
        "labels": [NAMES[number % 4] for number in range(8)],
        "answers_before": [NAMES[(number + 1) % 4] for number in range(8)],
        "answers_after": [NAMES[number % 3] for number in range(8)],
        "domains": [domain for domain in "abcd" for _ in range(2)],
        "attribution": "",
    }
    return Artefact({"images": np.zeros((8, 16, 16, 3), np.uint8), "before": maps, "after": maps}, info)


def test_long_answers_break_into_lines_and_do_not_touch_their_neighbours():
    figure = attention({"adu": made()}, ("a",))
    figure.draw_without_rendering()
    boxes = [axes.xaxis.label.get_window_extent() for axes in figure.axes if axes.xaxis.label.get_text()]
    assert len(boxes) == 3 * 8
    rows = [boxes[start : start + 8] for start in range(0, 24, 8)]
    assert all(left.x1 < right.x0 for row in rows for left, right in pairwise(row))
    below = [max(axes.get_window_extent().y1 for axes in figure.axes[start : start + 8]) for start in (8, 16)]
    assert all(box.y0 > top for row, top in zip(rows, below, strict=False) for box in row)
