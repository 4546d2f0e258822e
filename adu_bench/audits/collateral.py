"""The audit of what unlearning damages beyond the mean over retain domains."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageFilter

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.scores import accuracy
from adu_bench.audits.subject import TEST, Outputs, Subject, choose
from adu_bench.core.specs import Task

CORRUPTED = 60
"""Images of each retain domain that are corrupted."""
NOISE, BLUR, CONTRAST, QUALITY = 0.1, 1 / 60, 0.4, 15
"""Standard deviation of the noise relative to white, radius of the blur relative to the side, factor of the contrast,
and quality of the JPEG."""


class Collateral(Audit):
    """Look for the class, the domain and the kind of image that suffer most."""

    card = AuditCard(
        name="collateral",
        level="core",
        question="What else was damaged?",
        attacker="None: this audit asks what a user of the retained domains loses.",
        metrics=(
            AuditMetric("worst_class", "accuracy on the worst class over all retain domains", "up", "as zero-shot",
                        column="worst class"),
            AuditMetric("worst_class_before", "the same for zero-shot CLIP, on its own worst class", "none", "any"),
            AuditMetric("worst_domain", "accuracy on the worst retain domain", "up", "as zero-shot",
                        column="worst domain"),
            AuditMetric("worst_domain_before", "the same for zero-shot CLIP, on its own worst domain", "none", "any"),
            AuditMetric("clean_drop", "zero-shot accuracy minus accuracy on retain domains", "down", "0",
                        column="drop"),
            AuditMetric("corrupted", "accuracy on retain images after one corruption", "up", "as zero-shot"),
            AuditMetric("corrupted_before", "the same for zero-shot CLIP", "none", "any"),
            AuditMetric(
                "corrupted_drop", "zero-shot accuracy minus accuracy on corrupted retain images, mean over noise, "
                "blur, contrast and JPEG", "down", "0", column="corrupted drop",
            ),
            AuditMetric(
                "same_artist", "accuracy on retain domains by an artist of a forget domain; absent where the data set "
                "names no artists, or one artist made all domains", "up", "as zero-shot",
            ),
            AuditMetric("same_artist_drop", "zero-shot accuracy minus that", "down", "0", column="same artist drop"),
        ),
        controls="zero-shot reads 0 in all drops; collapse and coin lose most of their retained ability.",
        source="Own; corruptions after Hendrycks and Dietterich 2019, one strength each.",
    )  # fmt: skip

    def run(self, subject: Subject) -> list[Measure]:
        """Compare accuracies on retain domains with those of the untouched classifier."""
        after, before = (reader.outputs(TEST) for reader in (subject.after, subject.before))
        retain = ~after.forget
        found = [
            *_worst("worst_class", after, before, after.labels, retain),
            *_worst("worst_domain", after, before, after.images.domains.astype(str), retain),
            Measure("clean_drop", accuracy(before, retain)[0] - accuracy(after, retain)[0], int(retain.sum())),
            *_corrupted(subject),
        ]
        domains = same_artist(subject.data.rows, subject.task)
        own = np.isin(after.images.domains.astype(str), domains)
        if own.any():
            value, count = accuracy(after, own)
            found.append(Measure("same_artist", value, count))
            found.append(Measure("same_artist_drop", accuracy(before, own)[0] - value, count))
        return found


def _worst(name: str, after: Outputs, before: Outputs, groups: np.ndarray, retain: np.ndarray) -> Iterator[Measure]:
    """Yield the lowest accuracy over groups of retain images, after and before unlearning."""
    for metric, outputs in ((name, after), (f"{name}_before", before)):
        by_group = pd.Series(outputs.credit[retain]).groupby(groups[retain]).agg(["mean", "size"])
        worst = by_group.loc[by_group["mean"].idxmin()]
        yield Measure(metric, float(worst["mean"]), int(worst["size"]))


def _corrupted(subject: Subject) -> Iterator[Measure]:
    """Yield accuracies on corrupted retain images, and the mean drop."""
    images = subject.images(TEST)
    rng = subject.rng("collateral")
    drawn = [rng.permutation(np.flatnonzero(images.domains == domain))[:CORRUPTED] for domain in subject.task.retain]
    chosen = choose(images, np.sort(np.concatenate(drawn)))
    pixels = chosen.pixels[chosen.rows]
    drops = []
    for name, corrupt in corruptions(rng).items():
        spoilt = subject.with_pixels(chosen, np.stack([corrupt(image) for image in pixels]))
        after, before = (accuracy(reader.read(spoilt))[0] for reader in (subject.after, subject.before))
        drops.append(before - after)
        yield Measure(f"corrupted:{name}", after, len(spoilt))
        yield Measure(f"corrupted_before:{name}", before, len(spoilt))
    yield Measure("corrupted_drop", float(np.mean(drops)), len(chosen))


def corruptions(rng: np.random.Generator) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return functions that corrupt an image, uint8, (S, S, 3), by name; the noise is drawn from ``rng``."""

    def noise(image: np.ndarray) -> np.ndarray:
        return np.clip(image + rng.normal(0, 255 * NOISE, image.shape), 0, 255).round().astype(np.uint8)

    def blur(image: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(BLUR * len(image))))

    def contrast(image: np.ndarray) -> np.ndarray:
        return np.asarray(ImageEnhance.Contrast(Image.fromarray(image)).enhance(CONTRAST))

    def jpeg(image: np.ndarray) -> np.ndarray:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=QUALITY)
        return np.asarray(Image.open(stream).convert("RGB"))

    return {"noise": noise, "blur": blur, "contrast": contrast, "jpeg": jpeg}


def same_artist(rows: pd.DataFrame, task: Task) -> list[str]:
    """Return the retain domains that an artist of a forget domain made.

    Parameters
    ----------
    rows
        The task's index rows; their column ``hand``, if there is one, names the artist.
    task
        Its domains.

    Returns
    -------
    list
        Empty where the data set names no artists, or where this does not tell retain domains apart.
    """
    if "hand" not in rows.columns:
        return []
    artists = {domain: set(own["hand"]) for domain, own in rows.groupby("domain", sort=False)}
    forgotten = set().union(*(artists.get(domain, set()) for domain in task.forget))
    found = [domain for domain in task.retain if artists.get(domain, set()) & forgotten]
    return found if len(found) < len(task.retain) else []
