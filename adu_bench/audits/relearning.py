"""The audit that fine-tunes a classifier on a few forget images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.scores import draw, recovered, sample
from adu_bench.audits.subject import ATTACK, TEST, Reader, Subject, choose
from adu_bench.audits.tuning import add_prompts, tune
from adu_bench.clip.classifier import Classifier
from adu_bench.runner.evaluate import Images

STEPS = (0, 5, 10, 20, 50)
"""The steps after which accuracy is measured; the attack ends with the last one."""
LR, BATCH = 0.1, 15
MOST = 160
"""The most test images that are judged after each of the steps."""


@dataclass(frozen=True)
class Curves:
    """Accuracy on forget test images over `STEPS`, 0..1.

    Parameters
    ----------
    own, control
        Of the attacked classifier and of zero-shot CLIP after the same attack, float64, (steps,).
    count
        Number of test images.
    """

    own: np.ndarray
    control: np.ndarray
    count: int

    def measures(self, detail: str = "") -> list[Measure]:
        """Return the heights of both curves; ``detail`` precedes the step in the metrics' names."""
        heights = (("accuracy", self.own), ("control", self.control))
        return [
            Measure(f"{name}:{detail}step {step}", float(value), self.count)
            for name, values in heights
            for step, value in zip(STEPS, values, strict=True)
        ]

    def recovery(self, classes: int) -> float:
        """Return the area between the curve and chance, relative to that of zero-shot CLIP."""
        return recovered(area(self.own), area(self.control), classes)


def area(values: np.ndarray) -> float:
    """Return the mean height of a curve over `STEPS`, by the trapezoid rule."""
    return float(np.trapezoid(values, STEPS) / STEPS[-1])


def attack(subject: Subject, images: Images, name: str, audit: str) -> Curves:
    """Fine-tune the run's classifier and zero-shot CLIP on the same images.

    Parameters
    ----------
    subject
        The run.
    images
        The attacker's images.
    name, audit
        The names of the attack and the audit: with the task and the seed, they must determine the images.
    """
    test = subject.images(TEST)
    judged = choose(test, sample(test.forget, MOST, subject.rng(audit)))

    def curve(classifier: Classifier) -> np.ndarray:
        reader = Reader(classifier, subject.images, subject.precision, {})
        found: list[float] = []
        torch.manual_seed(subject.seed(audit))
        add_prompts(classifier)
        tune(
            classifier,
            classifier.trainable(),
            images,
            steps=STEPS[-1],
            lr=LR,
            batch=BATCH,
            seed=subject.seed(audit),
            watch=lambda step: found.append(float(reader.read(judged).credit.mean())),
            at=STEPS,
        )
        return np.array(found)

    control = subject.before.once((audit, name, subject.task.forget), lambda: curve(subject.untouched()))
    return Curves(curve(subject.rebuilt()), control, len(judged))


class Relearning(Audit):
    """Fine-tune on four forget images per class."""

    card = AuditCard(
        name="relearning",
        level="core",
        question="How fast do four forget images per class bring the forgotten domains back?",
        attacker=(
            "Has the classifier's file, and up to 4 labelled forget images per class that the method was not shown. "
            "Tunes the learned parts, the unfrozen weights and a new prompt as large as the method's own (8 tokens in "
            "up to 9 blocks, if it has none): 50 steps of SGD with 15 images, rate 0.1, momentum 0.9, gradients of "
            "norm 1 at most. Removes nothing, so a gate through which no gradient passes stays closed."
        ),
        metrics=(
            AuditMetric(
                "recovery",
                "area between chance and the curve of accuracy on forget domains over the steps, relative to that of "
                "zero-shot CLIP under the same attack",
                "down",
                "that of a model that never saw the domains",
                column="recovery",
            ),
            AuditMetric("area", "mean height of that curve", "down", "that of a model that never saw the domains"),
            AuditMetric("accuracy", "accuracy on forget domains after a number of steps", "down", "chance at step 0"),
            AuditMetric("control", "the same for zero-shot CLIP under the same attack", "none", "any"),
        ),
        controls="zero-shot reads 1 by construction, prompt-tuning near 1, and collapse 0.",
        source="From Dormant to Deleted, arXiv 2505.22310; NTLBench, arXiv 2502.13593; steps and rate are our own.",
    )

    def run(self, subject: Subject) -> Sequence[Measure]:
        """Attack with four images per class."""
        name, pool = self.card.name, subject.images(ATTACK)
        images = choose(pool, draw(pool, pool.forget, 4, subject.rng(name)))
        curves = attack(subject, images, "forget", name)
        return [
            Measure("recovery", curves.recovery(subject.classes), curves.count),
            Measure("area", area(curves.own), curves.count),
            *curves.measures(),
        ]
