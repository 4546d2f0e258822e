"""Legends stay apart and inside their figure, however many methods a board has."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.legend import Legend

from adu_bench.report.figures.common import axes_with_legend, plane_with_legend
from adu_bench.report.printing import ONE_COLUMN, Printing, printed
from adu_bench.report.style import style

REFERENCES = ("zero-shot", "domain-gate", "gate-prompt-tuning", "derange-gate", "prompt-tuning", "coin", "collapse")


def rows(ranked):
    own = [
        SimpleNamespace(method=f"method-of-title-{number}", group="paper", reference=False) for number in range(ranked)
    ]
    return own + [SimpleNamespace(method=name, group="reference", reference=True) for name in REFERENCES]


def figure_of(kind, ranked):
    if kind == "plane":
        return plane_with_legend(rows(ranked))[0]
    return axes_with_legend(rows(ranked), 6.9, 3.1, panels=2, share=0.5)[0]


@pytest.mark.parametrize("kind", ["plane", "panels"])
@pytest.mark.parametrize("ranked", [1, 6, 11, 19, 25, 33])
@pytest.mark.parametrize("way", [Printing(), Printing(width=ONE_COLUMN)], ids=["two columns", "one column"])
def test_legends_do_not_overlap_and_nothing_is_cut(kind, ranked, way):
    with printed(way), style():
        figure = figure_of(kind, ranked)
        FigureCanvasAgg(figure).draw()
        legends = [one.get_window_extent() for one in figure.findobj(Legend)]
        plots = [axes.get_window_extent() for axes in figure.axes if axes.axison]
    assert len(legends) == 2
    assert not legends[0].overlaps(legends[1])
    assert not any(legend.overlaps(plot) for legend in legends for plot in plots)
    for legend in legends:
        assert -1 <= legend.x0 < legend.x1 <= figure.bbox.x1 + 1
        assert -1 <= legend.y0 < legend.y1 <= figure.bbox.y1 + 1
