"""The audit that rounds weights to few bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.quantising import all_weights, learned_weights, rounding
from adu_bench.audits.scores import recovered, sample
from adu_bench.audits.subject import TEST, Reader, Subject, choose
from adu_bench.clip.classifier import Classifier
from adu_bench.runner.evaluate import Images

BITS = (8, 4)
MOST = 160
"""The most test images that are judged of forget domains, and the most of retain domains."""


class Rounding(Audit):
    """Round the learned weights, or all of them, to 8 and 4 bits."""

    card = AuditCard(
        name="rounding",
        level="core",
        question="Does the knowledge come back when weights are rounded to 8 or 4 bits?",
        attacker=(
            "Has the classifier's file and no image. Rounds what the method learned (parts, heads, unfrozen weights), "
            "or all weights, symmetrically with a scale for each output channel."
        ),
        metrics=(
            AuditMetric(
                "recovery_none",
                "accuracy on forget domains above chance without rounding, relative to that of zero-shot CLIP",
                "down",
                "that of a model that never saw the domains",
                column="no rounding",
            ),
            AuditMetric(
                "recovery_learned_8", "the same, learned weights in 8 bits", "down", "as before", column="learned, 8"
            ),
            AuditMetric(
                "recovery_learned_4", "the same, learned weights in 4 bits", "down", "as before", column="learned, 4"
            ),
            AuditMetric(
                "recovery_all_8",
                "the same, all weights in 8 bits, those of zero-shot CLIP too",
                "down",
                "as before",
                column="all, 8",
            ),
            AuditMetric(
                "recovery_all_4",
                "the same, all weights in 4 bits, those of zero-shot CLIP too",
                "down",
                "as before",
                column="all, 4",
            ),
            AuditMetric("forget", "accuracy on forget domains after rounding", "down", "chance"),
            AuditMetric("retain", "accuracy on retain domains after rounding", "up", "as without rounding"),
            AuditMetric("control", "accuracy of zero-shot CLIP on forget domains after rounding", "none", "any"),
        ),
        controls=(
            "8 bits change little for any method; zero-shot reads 1 by construction, prompt-tuning near 1, and "
            "collapse 0."
        ),
        source="Catastrophic Failure of LLM Unlearning via Quantization, arXiv 2410.16454.",
    )

    def run(self, subject: Subject) -> Sequence[Measure]:
        """Judge the classifier and zero-shot CLIP with each rounding."""
        test, rng = subject.images(TEST), subject.rng(self.card.name)
        places = [sample(mask, MOST, rng) for mask in (test.forget, ~test.forget)]
        groups = [choose(test, chosen) for chosen in places]
        key = (self.card.name, subject.task.forget)

        def plain(reader: Reader) -> list[float]:
            return [float(reader.outputs(TEST).credit[chosen].mean()) for chosen in places]

        # Zero-shot CLIP has learned nothing that could be rounded.
        before, classifier = plain(subject.before), subject.rebuilt()
        found = {"none": (plain(subject.after), before)}
        for bits in BITS:
            found[f"learned_{bits}"] = accuracies(subject, classifier, groups, bits), before
            frozen = subject.before.once((*key, bits, "features"), partial(_frozen, subject, groups, bits))
            control = partial(accuracies, subject, subject.untouched(), groups, bits, frozen)
            found[f"all_{bits}"] = (
                accuracies(subject, classifier, groups, bits, frozen),
                subject.before.once((*key, bits), control),
            )
        count, kept = map(len, groups)
        return [
            measure
            for case, ((forget, retain), (ceiling, _)) in found.items()
            for measure in (
                Measure(f"recovery_{case}", recovered(forget, ceiling, subject.classes), count),
                Measure(f"forget:{case}", forget, count),
                Measure(f"retain:{case}", retain, kept),
                Measure(f"control:{case}", ceiling, count),
            )
        ]


def accuracies(
    subject: Subject,
    classifier: Classifier,
    groups: Sequence[Images],
    bits: int,
    frozen: Sequence[np.ndarray] | None = None,
) -> list[float]:
    """Return the accuracy on groups of images, 0..1, while weights are rounded; afterwards they are as before.

    Parameters
    ----------
    subject
        The run.
    classifier
        Shares weights with the backbone.
    groups
        The images.
    bits
        See `rounded`.
    frozen
        Features of the rounded backbone for each group, (N, D), which gates read; its weights are then rounded as
        well.  None to round only what the method learned.
    """
    reader = Reader(classifier, subject.images, subject.precision, {})
    seen = groups if frozen is None else [replace(group, frozen=own) for group, own in zip(groups, frozen, strict=True)]
    with rounding(classifier, (learned_weights if frozen is None else all_weights)(classifier), bits):
        return [float(reader.read(images).credit.mean()) for images in seen]


def _frozen(subject: Subject, groups: Sequence[Images], bits: int) -> list[np.ndarray]:
    untouched = subject.untouched()
    with rounding(untouched, all_weights(untouched), bits):
        return [subject.with_pixels(group, group.pixels[group.rows]).frozen for group in groups]
