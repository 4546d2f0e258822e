"""The curves of a run's training: the terms of the loss, and what else the method logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from adu_bench.core.errors import UserError
from adu_bench.report.style import look
from adu_bench.store import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AXIS = "epoch"


def curves_of_run(run: Run) -> pd.DataFrame:
    """Return the logged values of a run that can be drawn, by epoch.

    A method that trains twice logs its epochs twice; its entries are numbered from 1 then.

    Returns
    -------
    DataFrame
        One column per value, in the order in which they were logged; the index is the epoch or the entry's number.
        What is not finite is NaN, and values that never are have no column.  Empty if nothing was logged.
    """
    entries = run.training()
    values = entries.drop(columns=_AXIS, errors="ignore")
    values = values.where(np.isfinite(values)).dropna(axis="columns", how="all")
    epochs = entries.get(_AXIS)
    if epochs is None or not epochs.is_monotonic_increasing or epochs.isna().any():
        return values.set_axis(pd.RangeIndex(1, len(values) + 1, name="entry"))
    return values.set_axis(pd.Index(epochs.astype(int), name=_AXIS))


def training_figure(run: Run) -> Figure:
    """Draw one panel per logged value over the epochs.

    Raises
    ------
    UserError
        If the method logged nothing.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    curves = curves_of_run(run)
    if curves.empty:
        raise UserError(
            f"The run '{run.key}' has no curves.",
            f"{run.label} logged nothing, because it does not train.",
            "Choose a run of a method that trains.",
        )
    columns = min(3, len(curves.columns))
    rows = -(-len(curves.columns) // columns)
    figure = Figure(figsize=(2.3 * columns, 1.6 * rows + 0.3), layout="constrained")
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, name in zip(places, curves, strict=False):
        axes.plot(curves.index, curves[name], color=look(run.label).colour, marker="o", markersize=2.5)
        axes.set_title(name)
        axes.set_xlabel(str(curves.index.name))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    for axes in places[len(curves.columns) :]:
        axes.set_axis_off()
    figure.suptitle(f"{run.label}, forget {run.spec.task.name}, seed {run.spec.seed}", fontsize=8)
    return figure
