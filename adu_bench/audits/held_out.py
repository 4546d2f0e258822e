"""The audit of classes that the run was not shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.scores import LEAST, accuracy
from adu_bench.audits.subject import TEST, Outputs, Reader, Subject
from adu_bench.clip.classifier import Classifier
from adu_bench.core.errors import UserError
from adu_bench.metrics.evidence import harmonic
from adu_bench.runner.evaluate import Images
from adu_bench.runner.task_data import TaskData

SMALL = 0.1
"""Where less than this was suppressed on the seen classes, there is nothing to transfer, and a ratio would be noise."""


class HeldOut(Audit):
    """Give the classifier the held-out classes, and only them, and classify their test images."""

    card = AuditCard(
        name="held-out",
        level="full",
        question="Does it also forget and retain classes that it was not shown?",
        attacker="None: a user asks for other classes of the same domains, as many as the run was trained on.",
        metrics=(
            AuditMetric("answers", "1 if the classifier answers over other classes, else 0, and all else is absent",
                        "up", "1", column="answers", unit="yes or no"),
            AuditMetric("forget_accuracy", "accuracy on held-out classes of forget domains, among the held-out classes",
                        "down", "chance", column="forget"),
            AuditMetric("retain_accuracy", "the same on retain domains", "up", "as zero-shot", column="retain"),
            AuditMetric("h", "harmonic mean of the latter and of one minus the former", "up",
                        "as on seen classes"),
            AuditMetric("forget_before", "accuracy of zero-shot CLIP on held-out classes of forget domains", "none",
                        "any"),
            AuditMetric("retain_before", "the same on retain domains", "none", "any"),
            AuditMetric(
                "suppression", "zero-shot accuracy minus accuracy on held-out classes of forget domains, as a share of "
                "zero-shot accuracy above chance", "up", "1", column="lost",
            ),
            AuditMetric("suppression_seen", "the same on seen classes", "up", "1", column="lost seen"),
            AuditMetric("retain_loss", "the same as suppression on retain domains", "down", "0", column="lost retain"),
            AuditMetric("retain_loss_seen", "the same on seen classes", "down", "0"),
            AuditMetric("transfer", "suppression on held-out over that on seen classes; absent where the latter is "
                        "below 0.1", "up", "1", column="transfer", unit="number"),
        ),
        controls="zero-shot and prompt-tuning suppress nothing; a gate transfers and retains; collapse transfers and "
        "retains nothing; lp-plus-plus, which is tied to its classes, does not answer.",
        source="Open-vocabulary domain unlearning (arXiv 2609.31356); among the held-out classes alone, since classes "
        "that were trained on draw all answers.",
        needs="held-out classes",
    )  # fmt: skip

    def run(self, subject: Subject) -> list[Measure]:
        """Compare accuracies with zero-shot CLIP, on held-out and on seen classes."""
        held_out = subject.task.held_out
        changed = subject.rebuilt()
        try:
            changed.set_classes(held_out)
        except UserError:
            return [Measure("answers", 0.0, 0)]
        images = _images(subject)
        before = subject.before.once(("held-out", held_out), lambda: _read(subject, _untouched(subject), images))
        return [
            Measure("answers", 1.0, 0),
            *measures(
                _read(subject, changed, images),
                replace(before, images=images),
                subject.after.outputs(TEST),
                subject.before.outputs(TEST),
            ),
        ]


def measures(after: Outputs, before: Outputs, seen: Outputs, seen_before: Outputs) -> Iterator[Measure]:
    """Yield the measures of a classifier that answers.

    Parameters
    ----------
    after, before
        Outputs of the classifier and of zero-shot CLIP for the test images of held-out classes.
    seen, seen_before
        The same for those of seen classes.
    """
    forget, retain = after.forget, ~after.forget
    value, count = accuracy(after, forget)
    kept, others = accuracy(after, retain)
    yield Measure("forget_accuracy", value, count)
    yield Measure("retain_accuracy", kept, others)
    yield Measure("h", harmonic(kept, 1 - value), len(after))
    yield Measure("forget_before", *accuracy(before, forget))
    yield Measure("retain_before", *accuracy(before, retain))
    found, found_seen = suppressed(after, before, forgotten=True), suppressed(seen, seen_before, forgotten=True)
    yield Measure("suppression", found, count)
    yield Measure("suppression_seen", found_seen, int(seen.forget.sum()))
    yield Measure("retain_loss", suppressed(after, before, forgotten=False), others)
    yield Measure("retain_loss_seen", suppressed(seen, seen_before, forgotten=False), int((~seen.forget).sum()))
    if found_seen >= SMALL:
        yield Measure("transfer", found / found_seen, count)


def suppressed(after: Outputs, before: Outputs, *, forgotten: bool) -> float:
    """Return the loss of accuracy as a share of the accuracy above chance before.

    Parameters
    ----------
    after, before
        Outputs for the same images.
    forgotten
        Whether the images of forget domains or those of retain domains count.

    Returns
    -------
    float
        0 where nothing was lost, 1 at chance; negative for a gain.  0 where there was nothing to lose.
    """
    mask = after.forget == forgotten
    known, chance = accuracy(before, mask)[0], 1 / after.logits.shape[1]
    return (known - accuracy(after, mask)[0]) / (known - chance) if known - chance > LEAST else 0.0


def _images(subject: Subject) -> Images:
    """Return the test images of the held-out classes; their labels count within these classes."""
    task = replace(subject.task, classes=subject.task.held_out, held_out=())
    return TaskData(task, subject.backbone, subject.precision, subject.data.report).images(TEST)


def _untouched(subject: Subject) -> Classifier:
    return Classifier(subject.backbone, subject.task.held_out, subject.task.template).eval()


def _read(subject: Subject, classifier: Classifier, images: Images) -> Outputs:
    return Reader(classifier, lambda pool: images, subject.precision, {}).read(images)
