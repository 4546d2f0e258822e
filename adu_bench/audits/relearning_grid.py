"""The audit that fine-tunes a classifier on different sets of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.relearning import attack
from adu_bench.audits.scores import draw
from adu_bench.audits.subject import ATTACK, Subject, choose
from adu_bench.runner.evaluate import Images


def noise(subject: Subject, shots: int, rng: np.random.Generator) -> Images:
    """Return ``shots`` images of uniform noise with each class as label: training on them tells nothing of a class."""
    like = subject.images(ATTACK)
    labels = np.repeat(np.arange(subject.classes), shots)
    pixels = rng.integers(0, 256, (len(labels), *like.pixels.shape[1:]), dtype=np.uint8)
    made = subject.with_pixels(choose(like, np.zeros(len(labels), np.int64)), pixels)
    return replace(made, labels=labels)


class RelearningGrid(Audit):
    """Fine-tune on fewer and more forget images, on retain images, and on noise."""

    card = AuditCard(
        name="relearning-grid",
        level="full",
        question="How many forget images bring the forgotten domains back, and do other images do so as well?",
        attacker=(
            "As in relearning, with up to 1, 2, 4 and 8 forget images per class; with up to 4 retain images per class "
            "and no forget image; and with 4 images of noise per class."
        ),
        metrics=(
            AuditMetric(
                "recovery_1",
                "as in relearning, with 1 forget image per class",
                "down",
                "that of a model that never saw the domains",
                column="k = 1",
            ),
            AuditMetric("recovery_2", "with 2 forget images per class", "down", "as for k = 1", column="k = 2"),
            AuditMetric("recovery_4", "with 4 forget images per class", "down", "as for k = 1", column="k = 4"),
            AuditMetric("recovery_8", "with 8 forget images per class", "down", "as for k = 1", column="k = 8"),
            AuditMetric("recovery_retain", "with 4 retain images per class", "down", "as for k = 1", column="retain"),
            AuditMetric("recovery_noise", "with images of noise", "none", "as without attack", column="noise"),
            AuditMetric("accuracy", "accuracy on forget domains after a number of steps", "down", "chance at step 0"),
            AuditMetric("control", "the same for zero-shot CLIP under the same attack", "none", "any"),
        ),
        controls="As in relearning; images of noise bring nothing back.",
        source="From Dormant to Deleted, arXiv 2505.22310; images of noise are our own control.",
    )

    def run(self, subject: Subject) -> Sequence[Measure]:
        """Attack with each set of images."""
        name, pool = self.card.name, subject.images(ATTACK)

        def drawn(mask: np.ndarray, shots: int) -> Images:
            return choose(pool, draw(pool, mask, shots, subject.rng(name)))

        sets = {str(shots): drawn(pool.forget, shots) for shots in (1, 2, 4, 8)}
        sets["retain"] = drawn(~pool.forget, 4)
        sets["noise"] = noise(subject, 4, subject.rng(name))
        found: list[Measure] = []
        for detail, images in sets.items():
            curves = attack(subject, images, detail, name)
            found.append(Measure(f"recovery_{detail}", curves.recovery(subject.classes), curves.count))
            found += curves.measures(f"{detail}, ")
        return found
