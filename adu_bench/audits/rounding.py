"""The audit that rounds weights to few bits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.quantising import all_weights, learned_weights, rounding
from adu_bench.audits.scores import recovered, sample
from adu_bench.audits.subject import TEST, Reader, Subject, choose
from adu_bench.clip.classifier import Classifier
from adu_bench.runner.evaluate import Images

BITS = (8, 4)
MOST = 256
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
        groups = [choose(test, sample(mask, MOST, rng)) for mask in (test.forget, ~test.forget)]
        cases = {"none": (0, False)}
        cases |= {f"{name}_{bits}": (bits, name == "all") for name in ("learned", "all") for bits in BITS}
        classifier, found = subject.rebuilt(), list[Measure]()
        for case, (bits, shared) in cases.items():
            # Zero-shot CLIP has learned nothing that could be rounded.
            level = bits if shared else 0
            control = subject.before.once(
                (self.card.name, level, subject.task.forget),
                partial(accuracies, subject, subject.untouched(), groups, level, shared=shared),
            )
            forget, retain = accuracies(subject, classifier, groups, bits, shared=shared)
            found += [
                Measure(f"recovery_{case}", recovered(forget, control[0], subject.classes), len(groups[0])),
                Measure(f"forget:{case}", forget, len(groups[0])),
                Measure(f"retain:{case}", retain, len(groups[1])),
                Measure(f"control:{case}", control[0], len(groups[0])),
            ]
        return found


def accuracies(
    subject: Subject, classifier: Classifier, groups: Sequence[Images], bits: int, *, shared: bool
) -> list[float]:
    """Return the accuracy on groups of images, 0..1, while weights are rounded.

    Parameters
    ----------
    subject
        The run.
    classifier
        May share weights with the backbone; all weights are put back.
    groups
        The images.
    bits
        See `rounded`; 0 for no rounding.
    shared
        Round the weights of the backbone as well, not only those that the method learned.
    """
    reader = Reader(classifier, subject.images, subject.precision, {})
    weights = (all_weights if shared else learned_weights)(classifier)
    with rounding(classifier, weights, bits) if bits else nullcontext():
        # A gate that reads the features of the frozen backbone gets those of its rounded weights.
        seen = [subject.with_pixels(group, group.pixels[group.rows]) if shared else group for group in groups]
        return [float(reader.read(images).credit.mean()) for images in seen]
