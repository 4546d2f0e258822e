"""Which test images belong together: images of the same object are one draw from the world, not several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

CLUSTERS: Mapping[str, Callable[[str], str]] = {"emoji": lambda image: image.partition(".")[0]}
"""By data set, the cluster of an image from its name; an emoji is its code point, drawn in up to four styles."""


def clusters(dataset: str, images: Iterable[str]) -> list[str]:
    """Return the cluster of each image; each image is its own cluster in a data set that declares none.

    Parameters
    ----------
    dataset
        The data set's name.
    images
        The names of the images.
    """
    of = CLUSTERS.get(dataset)
    return list(images) if of is None else [of(image) for image in images]
