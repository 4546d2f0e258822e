"""Example images of a data set: classes are columns, domains are rows."""

from __future__ import annotations

from matplotlib.figure import Figure

from adu_bench.data.sources import open_source
from adu_bench.suites import Suite


def data_figure(suite: Suite, columns: int = 10) -> Figure:
    """Show one image of each class in every domain; of the same object within a column if the domains share one.

    Parameters
    ----------
    suite
        Determines domains and classes.
    columns
        Largest number of classes to show; they are spread over the class set.

    Returns
    -------
    Figure
        With the attribution of the images at the bottom.
    """
    source = open_source(suite.dataset)
    step = max(1, len(suite.classes) // columns)
    classes = suite.classes[::step][:columns]
    height = len(suite.domains)
    figure = Figure(figsize=(len(classes) * 0.92 + 0.9, height * 0.92 + 0.75), layout="constrained")
    axes = figure.subplots(height, len(classes), squeeze=False)
    for column, label in enumerate(classes):
        positions = _same_thing(source.index, suite.domains, label)
        for row, domain in enumerate(suite.domains):
            place = axes[row, column]
            place.imshow(source.master(positions[domain]), interpolation="lanczos")
            place.set(xticks=[], yticks=[])
            for side in place.spines.values():
                side.set_color("0.85")
            if row == 0:
                place.set_title(label.replace(" ", "\n", 1), fontsize=8, verticalalignment="bottom")
            if column == 0:
                place.set_ylabel(domain, fontsize=9)
    if source.attribution:
        figure.supxlabel(f"Images: {source.attribution}", fontsize=6.5, color="0.35")
    return figure


def _same_thing(index, domains, label: str) -> dict[str, int]:
    """Return the position of an image in each domain: of an object that all domains have, else of the first image."""
    rows = index[index["label"] == label]
    if "name" not in rows:  # image files do not have names that domains share
        return {domain: int(rows.index[rows["domain"] == domain][0]) for domain in domains}
    names = rows.groupby("name")["domain"].nunique()
    common = names[names == len(domains)].index
    chosen = rows[rows["name"] == sorted(common)[len(common) // 3]] if len(common) else rows
    return {domain: int(chosen.index[chosen["domain"] == domain][0]) for domain in domains}
