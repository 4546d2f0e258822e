"""The audit that repairs answers without touching the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.repairs import (
    best_permutation,
    best_rank,
    fitted_scale,
    fitted_shift,
    information,
    mean_shift,
    read_rank,
)
from adu_bench.audits.scores import draw, recovered
from adu_bench.audits.subject import ATTACK, TEST, Outputs, Reader, Subject, credit

SHOTS = 5
"""Labelled forget images per class."""
Repair = Callable[[np.ndarray], np.ndarray]
"""Maps logits (N, C) to repaired ones."""


@dataclass(frozen=True)
class Repaired:
    """What repairs make of one classifier.

    Parameters
    ----------
    forget, retain
        Accuracy on the test images of forget and retain domains by repair, 0..1.
    information
        See `adu_bench.audits.repairs.information`, on forget test images after the best temperature.
    best
        The repair that is most accurate on the attacker's forget images.
    """

    forget: dict[str, float]
    retain: dict[str, float]
    information: float
    best: str


def repaired(forget: Outputs, retain: Outputs, test: Outputs, rng: np.random.Generator) -> Repaired:
    """Fit repairs on an attacker's images and judge them on test images.

    Parameters
    ----------
    forget, retain
        Outputs for the attacker's images.
    test
        Outputs for the test images of all domains.
    rng
        Draws the images whose labels the fits use.
    """
    repairs = fitted_repairs(forget.where(draw(forget.images, forget.forget, SHOTS, rng)), forget.logits, retain.logits)
    chosen = {name: _accuracy(repair, forget) for name, repair in repairs.items()}
    forgotten, kept = test.where(test.forget), test.where(~test.forget)
    return Repaired(
        {name: _accuracy(repair, forgotten) for name, repair in repairs.items()},
        {name: _accuracy(repair, kept) for name, repair in repairs.items()},
        information(repairs["temperature"](forgotten.logits), forgotten.labels),
        max(chosen, key=chosen.__getitem__),
    )


def fitted_repairs(shown: Outputs, forget: np.ndarray, retain: np.ndarray) -> dict[str, Repair]:
    """Fit every repair.

    Parameters
    ----------
    shown
        Outputs for forget images whose labels are used.
    forget, retain
        Logits of images whose labels are not used, (N, C) and (M, C).

    Returns
    -------
    dict
        The repairs by name; ``none`` changes nothing.
    """
    unlabelled, labelled = mean_shift(forget, retain), fitted_shift(shown.logits, shown.labels)
    order, rank = best_permutation(shown.logits, shown.labels), best_rank(shown.logits, shown.labels)
    scale = fitted_scale(shown.logits, shown.labels)
    return {
        "none": lambda raw: raw,
        "mean shift": lambda raw: raw - unlabelled,
        "fitted shift": lambda raw: raw - labelled,
        "permutation": lambda raw: raw[:, order],
        "rank": lambda raw: read_rank(raw, rank),
        "temperature": lambda raw: scale * raw,
    }


def _accuracy(repair: Repair, outputs: Outputs) -> float:
    return float(credit(repair(outputs.logits), outputs.labels).mean())


class AnswerRepair(Audit):
    """Repair logits by a bias, a permutation of classes, a rank, or a temperature."""

    card = AuditCard(
        name="answer-repair",
        level="core",
        question="Is the knowledge still in the answers, behind a bias, a permutation or a wrong choice?",
        attacker=(
            "Sees only logits, for images that the method was not shown. The mean shift needs to know which of them "
            "are of forget domains, and no label; the other repairs are fitted on up to 5 labelled forget images per "
            "class, and the best one is chosen on all labelled forget images of the attacker. A repair applies to "
            "every test image."
        ),
        metrics=(
            AuditMetric(
                "recovery",
                "accuracy on forget domains above chance after the best repair, relative to that of zero-shot CLIP "
                "after its own best one",
                "down",
                "that of a model that never saw the domains",
                column="recovery",
            ),
            AuditMetric(
                "retained", "accuracy on retain domains after the same repair", "none", "any", column="retained"
            ),
            AuditMetric(
                "information",
                "1 - cross-entropy / ln C on forget domains after the best temperature, at least 0: what the "
                "probabilities say of the class",
                "down",
                "0",
                column="information",
            ),
            AuditMetric("recovery_by", "the recovery of each repair", "down", "as for the best one"),
            AuditMetric("accuracy", "accuracy on forget domains after each repair", "down", "chance"),
            AuditMetric("control", "the same for zero-shot CLIP after its own repairs", "none", "any"),
            AuditMetric("retained_by", "accuracy on retain domains after each repair", "none", "any"),
        ),
        controls=(
            "zero-shot reads 1 by construction and prompt-tuning near 1; the rank undoes derange-gate; collapse and "
            "domain-gate, whose logits are all equal where they refuse, gain nothing."
        ),
        source="Our own.",
    )

    def run(self, subject: Subject) -> Sequence[Measure]:
        """Judge the repairs of the run's classifier and those of zero-shot CLIP."""
        name, forget = self.card.name, subject.task.forget
        after = _repaired(subject, subject.after, name)
        before = subject.before.once((name, forget), lambda: _repaired(subject, subject.before, name))
        test = subject.images(TEST)
        count, kept = int(test.forget.sum()), int((~test.forget).sum())

        def recovery(own: str, other: str) -> float:
            return recovered(after.forget[own], before.forget[other], subject.classes)

        found = [
            Measure("recovery", recovery(after.best, before.best), count),
            Measure("retained", after.retain[after.best], kept),
            Measure("information", after.information, count),
        ]
        for repair in after.forget:
            found += [
                Measure(f"recovery_by:{repair}", recovery(repair, repair), count),
                Measure(f"accuracy:{repair}", after.forget[repair], count),
                Measure(f"control:{repair}", before.forget[repair], count),
                Measure(f"retained_by:{repair}", after.retain[repair], kept),
            ]
        return found


def _repaired(subject: Subject, reader: Reader, audit: str) -> Repaired:
    fit = reader.outputs(ATTACK)
    return repaired(fit.where(fit.forget), fit.where(~fit.forget), reader.outputs(TEST), subject.rng(audit))
