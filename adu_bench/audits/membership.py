"""The audit of membership: whether answers tell the images that a method was shown from others of their kind."""

from __future__ import annotations

import numpy as np

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.behaviour import auroc
from adu_bench.audits.subject import Outputs, Subject

TRAIN = "train"


class Membership(Audit):
    """Attack with the probability of the true class, separately for each class and domain."""

    card = AuditCard(
        name="membership",
        level="optional",
        question="Do its answers give away which images it was shown?",
        attacker="Has training images with labels and sees their probabilities; does not know which were shown.",
        metrics=(
            AuditMetric(
                "auroc_forget",
                "area under the ROC curve of the true class's probability as a sign of a shown image, on forget "
                "domains; below .5 where shown images get less; mean over classes and domains",
                "none", ".5", column="AUROC forget",
            ),
            AuditMetric("auroc_retain", "the same on retain domains", "down", ".5", column="AUROC retain"),
            AuditMetric("auroc_forget_before", "the same as auroc_forget for zero-shot CLIP", "none", ".5",
                        column="forget before"),
            AuditMetric("auroc_retain_before", "the same as auroc_retain for zero-shot CLIP", "none", ".5",
                        column="retain before"),
        ),
        controls="zero-shot reads as before; collapse reads .5.",
        source=(
            "Threshold attack on the loss: Yeom et al. 2018. Attacks with shadow models are stronger. The few shots "
            "are not what domain unlearning hides, so this audit belongs to neither core nor full."
        ),
    )  # fmt: skip

    def run(self, subject: Subject) -> list[Measure]:
        """Compare shown training images with the other ones."""
        found = []
        for suffix, reader in (("", subject.after), ("_before", subject.before)):
            outputs = reader.outputs(TRAIN)
            shown = np.isin(outputs.images.rows, subject.shown)
            for name, mask in (("forget", outputs.forget), ("retain", ~outputs.forget)):
                found.append(Measure(f"auroc_{name}{suffix}", *advantage(outputs.where(mask), shown[mask])))
        return found


def advantage(outputs: Outputs, shown: np.ndarray) -> tuple[float, int]:
    """Return the AUROC of the true class's probability as a sign of shown images, and the number of these.

    It is the mean over classes and domains, weighted by their shown images, so that hard classes with few other images
    do not look shown.  Groups without shown or without other images do not count.

    Parameters
    ----------
    outputs
        N training images.
    shown
        Whether a method was shown each image, bool, (N,).

    Returns
    -------
    tuple
        0..1 and a count; .5 and 0 where no group counts.
    """
    sign = np.log(np.maximum(outputs.p[np.arange(len(outputs)), outputs.labels], 1e-300))
    values, counts = [], []
    for domain in np.unique(outputs.images.domains):
        for label in np.unique(outputs.labels):
            own = (outputs.images.domains == domain) & (outputs.labels == label)
            count = int(shown[own].sum())
            if 0 < count < own.sum():
                values.append(auroc(sign[own], shown[own]))
                counts.append(count)
    return (float(np.average(values, weights=counts)), sum(counts)) if counts else (0.5, 0)
