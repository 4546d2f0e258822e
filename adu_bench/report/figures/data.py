"""A picture of a data set: some classes across, domains down."""

from __future__ import annotations

from matplotlib.figure import Figure

from adu_bench.data.sources import open_source
from adu_bench.suites import Suite


def data_figure(suite: Suite, columns: int = 10) -> Figure:
    """Show one picture of each class in every domain, the same thing in a column where there is one.

    Parameters
    ----------
    suite
        Says which domains and classes.
    columns
        Most classes to show; they are spread over the class set.

    Returns
    -------
    Figure
        With the attribution of the pictures at its foot.
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
        figure.supxlabel(f"Pictures: {source.attribution}", fontsize=6.5, color="0.35")
    return figure


def _same_thing(index, domains, label: str) -> dict[str, int]:
    """Return a picture position for each domain: of a name that all domains have, else each one's first."""
    rows = index[index["label"] == label]
    if "name" not in rows:  # picture files have no names that domains share
        return {domain: int(rows.index[rows["domain"] == domain][0]) for domain in domains}
    names = rows.groupby("name")["domain"].nunique()
    common = names[names == len(domains)].index
    chosen = rows[rows["name"] == sorted(common)[len(common) // 3]] if len(common) else rows
    return {domain: int(chosen.index[chosen["domain"] == domain][0]) for domain in domains}
