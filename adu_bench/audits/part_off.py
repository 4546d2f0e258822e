"""The audit that removes learned parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.scores import accuracy, recovered
from adu_bench.audits.subject import TEST, Subject, choose


class PartOff(Audit):
    """Switch learned parts off, each alone and all together, and classify the test images again."""

    card = AuditCard(
        name="part-off",
        level="core",
        question="Is the knowledge one switch away?",
        attacker="Has the classifier and the names of its parts; removes parts; needs no image and no training.",
        metrics=(
            AuditMetric(
                "recovery",
                "accuracy on forget domains above chance with all learned parts removed, as a share of zero-shot "
                "accuracy above chance",
                "down",
                "0",
                column="recovery",
            ),
            AuditMetric(
                "best_part",
                "the same with the one part removed whose removal brings back most; absent without parts",
                "down",
                "0",
                column="one part off",
            ),
            AuditMetric(
                "by_construction",
                "1 if no weight of the backbone was changed, so that a recovery of 1 follows from the design; else 0",
                "none",
                "0",
                column="by construction",
                unit="yes or no",
            ),
            AuditMetric("forget_accuracy", "accuracy on forget domains as the run left it", "down", "chance"),
            AuditMetric("retain_accuracy", "accuracy on retain domains as the run left it", "up", "as zero-shot"),
            AuditMetric("forget_without", "accuracy on forget domains without a part or ALL parts", "down", "chance"),
            AuditMetric("retain_without", "accuracy on retain domains without ALL parts", "none", "any"),
        ),
        controls="Every method with a frozen backbone reads 1, zero-shot too; one whose weights changed can read less.",
        source="Unlearned prompts can be reactivated: arXiv 2605.26992; parts are removed by Classifier.without.",
    )

    def run(self, subject: Subject) -> list[Measure]:
        """Compare accuracy with and without parts."""
        classifier = subject.after.classifier
        here, before = subject.after.outputs(TEST), subject.before.outputs(TEST)
        forget = here.forget
        found = [
            Measure("by_construction", float(not classifier.changed), 0),
            Measure("forget_accuracy", *accuracy(here, forget)),
            Measure("retain_accuracy", *accuracy(here, ~forget)),
        ]
        recovery = {}
        asked = choose(here.images, forget)
        for name, off in _switched_off(subject):
            with off:
                value, count = accuracy(subject.after.read(asked))
                if name == "ALL":
                    rest = subject.after.read(choose(here.images, ~forget))
                    found.append(Measure("retain_without:ALL", *accuracy(rest)))
            found.append(Measure(f"forget_without:{name}", value, count))
            recovery[name] = recovered(value, accuracy(before, forget)[0], subject.classes)
        found.append(Measure("recovery", recovery.pop("ALL"), int(forget.sum())))
        if recovery:
            found.append(Measure("best_part", max(recovery.values()), int(forget.sum())))
        return found


def _switched_off(subject: Subject) -> Iterator[tuple[str, AbstractContextManager]]:
    """Yield each part's name, then ALL, with what switches it off; a part may not be called ALL."""
    classifier = subject.after.classifier
    names = list(classifier.parts)
    for name in names:
        yield name, classifier.without(name)
    yield "ALL", classifier.without(*names) if names else nullcontext()
