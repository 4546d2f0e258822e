"""Domains in feature space: one t-SNE of the features of zero-shot CLIP and some methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adu_bench.core.words import counted
from adu_bench.metrics.probe import domain_probe_accuracy
from adu_bench.report.figures.common import listed, percent
from adu_bench.report.printing import across, name_of, page_width, scale
from adu_bench.report.style import DOMAIN_LOOKS, QUIET, Look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEIGHBOURS = 10
"""Number of nearest neighbours for the purity."""
PERPLEXITY = 30
PANEL = 2.25
"""Least width of a panel in inches."""
_ENTRY = 1.2
"""Inches of a legend's entry."""


@dataclass(frozen=True)
class Features:
    """Features of the same test images from zero-shot CLIP and from unlearned classifiers.

    Parameters
    ----------
    task, seed
        The runs that they come from.
    domains
        All domains in the suite's order.
    forget
        The forgotten domains.
    of
        Domain of each image, (N,).
    sets
        Unit features (N, D) by method, zero-shot CLIP first.
    """

    task: str
    seed: int
    domains: tuple[str, ...]
    forget: tuple[str, ...]
    of: np.ndarray
    sets: Mapping[str, np.ndarray]


def joint(sets: Sequence[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """Embed several feature sets in one plane, so that positions can be compared between them.

    Parameters
    ----------
    sets
        (N, D) each.
    seed
        Of the embedding.

    Returns
    -------
    list of ndarray
        Positions (N, 2) each; the same for the same features, as one thread adds numbers in one order.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    together = np.concatenate([one.astype(np.float32) for one in sets])
    perplexity = min(PERPLEXITY, (len(together) - 1) / 3)
    with threadpool_limits(1):
        places = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(together)
    ends = np.cumsum([len(one) for one in sets])[:-1]
    return np.split(places, ends)


def purity(features: np.ndarray, domains: np.ndarray, neighbours: int = NEIGHBOURS) -> float:
    """Return the mean share of an image's nearest neighbours (cosine) that have its domain, 0..1."""
    unit = features.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    near = np.argpartition(-similarity, neighbours - 1, axis=1)[:, :neighbours]
    return float((domains[near] == domains[:, None]).mean())


def embedding(features: Features) -> Figure:
    """Draw one panel per feature set in a joint embedding: shapes and colours are domains, filled if forgotten."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    places = joint(list(features.sets.values()))
    everything = np.concatenate(places)
    low, high = everything.min(axis=0), everything.max(axis=0)
    margin = 0.04 * (high - low)
    # Positions are fixed: automatic layouts cut off labels around axes with a fixed aspect ratio.
    columns = min(across(PANEL), 3)
    down = -(-len(places) // columns)
    lines = -(-len(features.domains) // across(_ENTRY))
    gap, head, foot = 0.1, 0.22 * scale(), (0.14 + 0.16 * lines) * scale()
    side = page_width() / columns - gap
    width, height = min(columns, len(places)) * (side + gap), down * (head + side) + foot
    figure = Figure(figsize=(width, height))
    panels = [
        figure.add_axes(
            (
                (gap / 2 + number % columns * (side + gap)) / width,
                (foot + (down - 1 - number // columns) * (head + side)) / height,
                side / width,
                side / height,
            )
        )
        for number in range(len(places))
    ]
    looks = dict(zip(features.domains, DOMAIN_LOOKS, strict=False))
    for axes, title, own in zip(panels, features.sets, places, strict=True):
        for domain in features.domains:
            here = features.of == domain
            axes.scatter(*own[here].T, **_points(looks[domain], domain in features.forget))
        axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
        axes.set(xticks=[], yticks=[], title=name_of(title))
        for edge in axes.spines.values():
            edge.set(visible=True, color=QUIET, linewidth=0.5)
    entries = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=looks[domain].marker,
            color=looks[domain].colour,
            markerfacecolor=looks[domain].colour if domain in features.forget else "white",
            label=f"{domain} (forgotten)" if domain in features.forget else domain,
        )
        for domain in features.domains
    ]
    figure.legend(handles=entries, loc="lower center", ncols=-(-len(entries) // lines))
    return figure


def caption(features: Features, neighbours: int = NEIGHBOURS) -> str:
    """Return the caption, with what a probe and nearest neighbours find in the features."""
    chance = max(float((features.of == domain).mean()) for domain in features.domains)
    found = [
        f"{name_of(name)} {percent(domain_probe_accuracy(own, features.of))} and "
        f"{percent(purity(own, features.of, neighbours))}"
        for name, own in features.sets.items()
    ]
    return (
        f"One joint t-SNE (perplexity {PERPLEXITY}) of the features of {counted(len(features.of), 'test image')} "
        f"before (zero-shot) and after forgetting {listed(features.forget)}, seed {features.seed}. Filled: forgotten. "
        f"Accuracy of a linear domain probe (5-fold) and share of the {neighbours} nearest neighbours with the same "
        f"domain, in feature space, per cent: {'; '.join(found)}; the largest domain's share is {percent(chance)}."
    )


def _points(own: Look, forgotten: bool) -> dict:
    return {
        "s": 9,
        "marker": own.marker,
        "linewidths": 0.6,
        "edgecolors": own.colour,
        "facecolors": own.colour if forgotten else "none",
        "zorder": 3 if forgotten else 2,
    }
