"""The audit of answers: how a classifier behaves on forgotten and on retained domains."""

from __future__ import annotations

import numpy as np

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.subject import TEST, Outputs, Subject

BINS = 15


class Behaviour(Audit):
    """Describe confidence, calibration and preferred answers, and how visible the forgetting is from outside."""

    card = AuditCard(
        name="behaviour",
        level="core",
        question="How does it answer, and can an outsider see what was forgotten?",
        attacker="Sees the probabilities of test images, and nothing else.",
        metrics=(
            AuditMetric("confidence", "mean top probability on FORGET or RETAIN domains", "none", "any"),
            AuditMetric("entropy", "mean entropy there, in nats", "none", "any", unit="number"),
            AuditMetric("effective_classes", "mean of exp(entropy) there: how many classes share an answer", "none",
                        "all classes on forget domains", unit="number"),
            AuditMetric("forget_effective_classes", "effective number of classes on forget domains", "none",
                        "all classes", column="classes", unit="number"),
            AuditMetric("ece", "expected calibration error there, 15 bins of equal width", "down", "0"),
            AuditMetric("retain_ece", "expected calibration error on retain domains", "down", "0", column="ECE retain"),
            AuditMetric(
                "auroc_confidence",
                "area under the ROC curve of low confidence as a sign of a forget domain; .5 says nothing",
                "none", "that of zero-shot", column="AUROC",
            ),
            AuditMetric("auroc_entropy", "the same for high entropy", "none", "that of zero-shot"),
            AuditMetric("auroc_confidence_before", "the same as auroc_confidence for zero-shot CLIP", "none", "any",
                        column="AUROC before"),
            AuditMetric("sink", "largest share of answers that one class gets there", "down", "share of that class"),
            AuditMetric("forget_sink", "largest share of answers that one class gets on forget domains", "down",
                        "share of that class", column="sink"),
            AuditMetric("class_for", "error rate on the forget-domain images of one class", "up", "1 - chance"),
            AuditMetric("worst_class_for", "error rate of the class that is forgotten least", "up", "1 - chance",
                        column="worst For"),
            AuditMetric("best_class_for", "error rate of the class that is forgotten most", "none", "1 - chance"),
        ),
        controls=(
            "collapse reads all classes, a sink of one over their number and an AUROC of .5; domain-gate is visible by "
            "its AUROC; derange-gate answers wrongly with the confidence of zero-shot."
        ),
        source="Confidence, effective support and detectability as in concept forgetting; ECE: Guo et al. 2017.",
    )  # fmt: skip

    def run(self, subject: Subject) -> list[Measure]:
        """Compare answers on forget and retain domains."""
        outputs = subject.after.outputs(TEST)
        found = []
        for name, own in (("FORGET", outputs.where(outputs.forget)), ("RETAIN", outputs.where(~outputs.forget))):
            entropy = entropies(own.p)
            values = {
                "confidence": own.p.max(axis=1).mean(),
                "entropy": entropy.mean(),
                "effective_classes": np.exp(entropy).mean(),
                "ece": calibration_error(own.p.max(axis=1), own.credit),
                "sink": answer_shares(own).max(),
            }
            found += [Measure(f"{metric}:{name}", float(value), len(own)) for metric, value in values.items()]
            if name == "FORGET":
                found.append(Measure("forget_effective_classes", float(values["effective_classes"]), len(own)))
                found.append(Measure("forget_sink", float(values["sink"]), len(own)))
                found += _by_class(own, subject.task.classes)
            else:
                found.append(Measure("retain_ece", float(values["ece"]), len(own)))
        before = subject.before.outputs(TEST)
        shown = {
            "auroc_confidence": -outputs.p.max(axis=1),
            "auroc_entropy": entropies(outputs.p),
            "auroc_confidence_before": -before.p.max(axis=1),
        }
        return found + [Measure(name, auroc(sign, outputs.forget), len(outputs)) for name, sign in shown.items()]


def _by_class(forgotten: Outputs, classes: tuple[str, ...]) -> list[Measure]:
    """Return the error rate of each class on forget domains, the least and the greatest."""
    found = []
    for place, name in enumerate(classes):
        own = forgotten.credit[forgotten.labels == place]
        if len(own):
            found.append(Measure(f"class_for:{name}", 1 - float(own.mean()), len(own)))
    ordered = sorted(found, key=lambda measure: measure.value)
    worst, best = ordered[0], ordered[-1]
    return [
        *found,
        Measure("worst_class_for", worst.value, worst.count),
        Measure("best_class_for", best.value, best.count),
    ]


def entropies(p: np.ndarray) -> np.ndarray:
    """Return the entropy of each row of probabilities (N, C) in nats, float64, (N,)."""
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the expected calibration error: the mean gap between confidence and accuracy over bins.

    Parameters
    ----------
    confidence
        Top probabilities, (N,), 0..1.
    correct
        How right each answer is, (N,), 0..1.

    Returns
    -------
    float
        0..1; bins have equal width and count by their number of images.
    """
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def answer_shares(outputs: Outputs) -> np.ndarray:
    """Return the share of answers that each class gets, float64, (C,); a tie counts in equal parts for its classes."""
    top = outputs.logits == outputs.logits.max(axis=1, keepdims=True)
    return (top / top.sum(axis=1, keepdims=True)).mean(axis=0)


def auroc(sign: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a positive has the larger sign than a negative; ties count half.

    Parameters
    ----------
    sign
        (N,), floating.
    positive
        bool, (N,), with both values.
    """
    from scipy.stats import rankdata

    # Rounding must not order answers that are equal, such as uniform ones.
    ranks = rankdata(np.round(sign, 9))
    count = int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(sign) - count)))
