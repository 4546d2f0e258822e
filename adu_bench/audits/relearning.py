"""The audits that fine-tune a classifier on a few images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.draws import few, some
from adu_bench.audits.scores import recovered
from adu_bench.audits.subject import ATTACK, TEST, Reader, Subject, choose
from adu_bench.audits.tuning import add_prompts, tune
from adu_bench.clip.classifier import Classifier
from adu_bench.runner.evaluate import Images

STEPS = (0, 5, 10, 20, 50)
"""The steps after which accuracy is measured; the attack ends with the last one."""
LR, BATCH = 0.1, 30
MOST = 512
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
    judged = choose(test, some(test.forget, MOST, subject.rng(audit)))

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


def noise(subject: Subject, shots: int, rng: np.random.Generator) -> Images:
    """Return ``shots`` images of uniform noise with each class as label: training on them tells nothing of a class."""
    like = subject.images(ATTACK)
    labels = np.repeat(np.arange(subject.classes), shots)
    pixels = rng.integers(0, 256, (len(labels), *like.pixels.shape[1:]), dtype=np.uint8)
    made = subject.with_pixels(choose(like, np.zeros(len(labels), np.int64)), pixels)
    return replace(made, labels=labels)


class Relearning(Audit):
    """Fine-tune on four forget images per class."""

    card = AuditCard(
        name="relearning",
        level="core",
        question="How fast do four forget images per class bring the forgotten domains back?",
        attacker=(
            "Has the classifier's file, and up to 4 labelled forget images per class that the method was not shown. "
            "Tunes the learned parts, the unfrozen weights and a new prompt as large as the method's own (8 tokens in "
            "up to 9 blocks, if it has none): 50 steps of SGD with 30 images, rate 0.1, momentum 0.9, gradients of "
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
        images = choose(pool, few(pool.labels, 4, subject.rng(name), pool.forget))
        curves = attack(subject, images, "forget", name)
        return [
            Measure("recovery", curves.recovery(subject.classes), curves.count),
            Measure("area", area(curves.own), curves.count),
            *curves.measures(),
        ]


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
            return choose(pool, few(pool.labels, shots, subject.rng(name), mask))

        sets = {str(shots): drawn(pool.forget, shots) for shots in (1, 2, 4, 8)}
        sets["retain"] = drawn(~pool.forget, 4)
        sets["noise"] = noise(subject, 4, subject.rng(name))
        found: list[Measure] = []
        for detail, images in sets.items():
            curves = attack(subject, images, detail, name)
            found.append(Measure(f"recovery_{detail}", curves.recovery(subject.classes), curves.count))
            found += curves.measures(f"{detail}, ")
        return found
