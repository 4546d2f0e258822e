"""A few-shot sample with wrong, missing or dropped domain labels, the same for every method, as its run asks for it.

All draws depend on the data set, the domain and the seed alone: not on the method, nor on the share, nor on which
domains are forgotten.  So an image that is spoilt at one share is spoilt at every larger share, with the same label.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from adu_bench.core.seeds import derive
from adu_bench.core.specs import FORGET, WORDS, Supervision, Task

STARTS = 10
"""Starts of k-means, of which the best is kept."""


def supervised(
    task: Task,
    supervision: Supervision,
    seed: int,
    *,
    domains: np.ndarray,
    labels: np.ndarray,
    features: np.ndarray,
    words: Callable[[], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return which of N few-shot images a method is given, and with which domain label.

    Images are dropped first.  Then labels are made wrong, and then some labels are replaced by pseudo-labels.

    Parameters
    ----------
    task
        Names the domains, and which to forget.
    supervision
        What is wrong, missing or dropped.
    seed
        The run's seed.
    domains, labels
        True domain and class indices of the images, int64, (N,).
    features
        Unit features of the frozen backbone, float32, (N, D).
    words
        Returns unit features of the K domains' names, float32, (K, D).

    Returns
    -------
    ndarray
        Positions of the images that are given, ascending, int64, (M,).
    ndarray
        Their domain indices as the method sees them, int64, (M,).
    """
    kept = np.ones(len(domains), bool)
    if supervision.dropped:
        only = np.where(domains == task.domains.index(dropped_domain(task, supervision)), domains, -1)
        kept = ~_chosen(task, only, supervision.dropped, seed, "dropped")
    given = domains.copy()
    if supervision.wrong:
        wrong = _chosen(task, domains, supervision.wrong, seed, "wrong")
        given = np.where(wrong, _others(task, domains, seed), given)
    if supervision.missing:
        known = ~_chosen(task, domains, supervision.missing, seed, "missing")[kept]
        count, kind = len(task.domains), supervision.pseudo
        guessed = pseudo_labels(kind, count, seed, given[kept], known, labels[kept], features[kept], words)
        given[kept] = np.where(known, given[kept], guessed)
    return np.flatnonzero(kept), given[kept]


def dropped_domain(task: Task, supervision: Supervision) -> str:
    """Return the domain whose images are dropped.

    It is the first forget domain, or the retain domain that follows it in the data set's cyclic order: over the tasks
    that forget one domain each, every domain is dropped once.
    """
    first = task.domains.index(task.forget[0])
    if supervision.dropped_from == FORGET:
        return task.forget[0]
    following = (*task.domains[first:], *task.domains[:first])
    return next(domain for domain in following if domain not in task.forget)


def pseudo_labels(
    kind: str,
    count: int,
    seed: int,
    domains: np.ndarray,
    known: np.ndarray,
    labels: np.ndarray,
    features: np.ndarray,
    words: Callable[[], np.ndarray],
) -> np.ndarray:
    """Guess the domain of every image.

    ``words``: the domain whose name is most similar to the image.  ``kmeans``: clusters of the features without the
    mean of each image's class, since clusters of the features themselves follow the classes, which the method knows.
    Each domain gets one cluster, so that most labels that are known are right; where none is known, so that the
    images are most similar to the domains' names.

    Parameters
    ----------
    kind
        ``words`` or ``kmeans``.
    count, seed
        Number K of domains, and the run's seed.
    domains, known
        Domain indices, int64, and which of them are known, bool, (N,).
    labels
        Class indices, int64, (N,).
    features
        Unit features of the images, float32, (N, D).
    words
        As in `supervised`; called only where names are needed.

    Returns
    -------
    ndarray
        Domain indices, int64, (N,).
    """
    from scipy.optimize import linear_sum_assignment  # these take a second to import
    from sklearn.cluster import KMeans

    if kind == WORDS:
        return (features @ words().T).argmax(axis=1)
    centred = features - np.stack([features[labels == label].mean(axis=0) for label in labels])
    start = derive(seed, "pseudo-labels") % 2**32
    clusters = KMeans(count, n_init=STARTS, random_state=start).fit_predict(centred)
    members = clusters == np.arange(count)[:, None]
    if known.any():
        value = np.stack([(members & known & (domains == domain)).sum(axis=1) for domain in range(count)], axis=1)
    else:
        value = members @ features @ words().T
    return linear_sum_assignment(value, maximize=True)[1][clusters]


def _chosen(task: Task, domains: np.ndarray, share: float, seed: int, purpose: str) -> np.ndarray:
    """Return which images are among a share of each domain's, bool, (N,); a larger share has the same ones and more."""
    found = np.zeros(len(domains), bool)
    for place, name in enumerate(task.domains):
        own = np.flatnonzero(domains == place)
        order = np.random.default_rng(derive(seed, purpose, task.dataset, name)).permutation(own)
        found[order[: int(share * len(own) + 0.5)]] = True
    return found


def _others(task: Task, domains: np.ndarray, seed: int) -> np.ndarray:
    """Return another domain for each image, drawn uniformly, int64, (N,)."""
    found = domains.copy()
    count = len(task.domains)
    for place, name in enumerate(task.domains):
        own = np.flatnonzero(domains == place)
        rng = np.random.default_rng(derive(seed, "wrong domain", task.dataset, name))
        found[own] = (place + rng.integers(1, count, len(own))) % count
    return found
