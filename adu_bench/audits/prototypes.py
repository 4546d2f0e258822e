"""The audit that classifies by mean features, without any training."""

from __future__ import annotations

import numpy as np

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.scores import few_shots, recovered
from adu_bench.audits.subject import ATTACK, TEST, Reader, Subject, credit


class Prototypes(Audit):
    """Replace the class texts by mean features of a few forget-domain images."""

    card = AuditCard(
        name="prototypes",
        level="core",
        question="Do five features of each class bring the forgotten domains back?",
        attacker=(
            "Reads features; has 5 labelled forget-domain images of each class that the run was not shown (mean of 5 "
            "draws); averages them; no gradient."
        ),
        metrics=(
            AuditMetric(
                "recovery",
                "accuracy above chance of the prototypes on forget-domain test images, as a share of the same for "
                "zero-shot features",
                "down",
                "0",
                column="recovery",
            ),
            AuditMetric(
                "forget_accuracy", "accuracy of the prototypes on forget-domain test images", "down", "chance",
                column="accuracy",
            ),
            AuditMetric("forget_accuracy_before", "the same for zero-shot features", "none", "any"),
        ),
        controls="zero-shot, domain-gate and derange-gate read 1: their features are those of zero-shot CLIP.",
        source="Prototypical relearning: arXiv 2506.01318, there with class weights mixed from prototype and text.",
    )  # fmt: skip

    def run(self, subject: Subject) -> list[Measure]:
        """Compare prototypes with those of the untouched classifier, on the same draws."""
        after, before = (_accuracy(reader, subject.rng(self.card.name)) for reader in (subject.after, subject.before))
        count = int(subject.after.outputs(TEST).forget.sum())
        return [
            Measure("recovery", recovered(after, before, subject.classes), count),
            Measure("forget_accuracy", after, count),
            Measure("forget_accuracy_before", before, count),
        ]


def _accuracy(reader: Reader, rng: np.random.Generator) -> float:
    """Return the mean accuracy over draws on the test images of forget domains."""
    fit, test = reader.outputs(ATTACK), reader.outputs(TEST)
    asked = test.where(test.forget)
    found = []
    for places in few_shots(fit.images, fit.forget, rng):
        scores = prototype_scores(fit.features[places], fit.labels[places], asked.features, asked.logits.shape[1])
        found.append(credit(scores, asked.labels).mean())
    return float(np.mean(found))


def prototype_scores(features: np.ndarray, labels: np.ndarray, asked: np.ndarray, classes: int) -> np.ndarray:
    """Score images by the cosine between their features and the mean feature of each class.

    Parameters
    ----------
    features, labels
        Unit features (N, D) and class indices (N,) of the known images.
    asked
        Unit features (M, D).
    classes
        Number of classes C.

    Returns
    -------
    ndarray
        float64, (M, C); -1, the least possible, for classes without a known image.
    """
    scores = np.full((len(asked), classes), -1.0)
    for label in np.unique(labels):
        mean = features[labels == label].astype(np.float64).mean(axis=0)
        scores[:, label] = asked.astype(np.float64) @ (mean / max(np.linalg.norm(mean), 1e-12))
    return scores
