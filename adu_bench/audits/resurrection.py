"""The audit that tunes a new prompt on top of a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.scores import draw, recovered
from adu_bench.audits.subject import ATTACK, TEST, Reader, Subject, choose
from adu_bench.audits.tuning import add_prompts, tune
from adu_bench.clip.classifier import Classifier
from adu_bench.core.specs import RunSpec
from adu_bench.runner.evaluate import Images

PASSES = 16
"""The budget of the emoji suites: passes over as many images as the method was shown."""
LR = 0.1
SHORT = (1, 1)
"""Tokens per block and number of blocks of the short prompt."""


class Resurrection(Audit):
    """Tune a new prompt on forget images, with the budget that a method has."""

    card = AuditCard(
        name="resurrection",
        level="full",
        question="Does a new prompt as large as the method's own bring the forgotten domains back?",
        attacker=(
            "May put a prompt beside the method's own (8 tokens in up to 9 blocks if it has none), changes nothing "
            "else, and has as many labelled forget images per class as the run had shots, which the method was not "
            "shown. Takes the steps of 16 passes over as many images as the run was shown, with the suite's batch: "
            "SGD, rate 0.1, momentum 0.9, gradients of norm 1 at most."
        ),
        metrics=(
            AuditMetric(
                "recovery_full",
                "accuracy on forget domains above chance after the attack, relative to that of zero-shot CLIP after it",
                "down",
                "that of a model that never saw the domains",
                column="recovery",
            ),
            AuditMetric(
                "recovery_shuffled",
                "the same after an attack with shuffled labels, relative to the same",
                "none",
                "0",
                column="shuffled labels",
            ),
            AuditMetric(
                "recovery_short",
                "the same after an attack with one token in the first block, relative to the same",
                "down",
                "as above",
                column="short prompt",
            ),
            AuditMetric("accuracy", "accuracy on forget domains after each attack", "down", "chance"),
            AuditMetric("control", "the same for zero-shot CLIP", "none", "any"),
            AuditMetric("retained", "accuracy on retain domains after each attack", "none", "any"),
        ),
        controls=(
            "Shuffled labels must bring back nothing; if the short prompt brings back as much as the full one, the "
            "knowledge was one switch away. zero-shot reads 1 by construction; collapse reads 0."
        ),
        source="ForgetGate (prompts, with both controls); arXiv 2605.26992; the budget is our own.",
    )

    def run(self, subject: Subject) -> Sequence[Measure]:
        """Attack the classifier and zero-shot CLIP in the three ways."""
        test, pool, name = subject.images(TEST), subject.images(ATTACK), self.card.name
        rng, forget = subject.rng(name), test.forget
        images = choose(pool, draw(pool, pool.forget, subject.task.shots, rng))
        shuffled = replace(images, labels=rng.permutation(images.labels))
        attacks = {"full": (images, None), "shuffled": (shuffled, None), "short": (images, SHORT)}

        def attacked(attack: str, make: Callable[[], Classifier]) -> np.ndarray:
            classifier = resurrected(make(), *attacks[attack], subject.run.spec, subject.seed(name))
            return Reader(classifier, subject.images, subject.precision, {}).read(test).credit

        controls = {
            attack: subject.before.once(
                (name, attack, subject.task.forget), partial(attacked, attack, subject.untouched)
            )
            for attack in attacks
        }
        found: list[Measure] = []
        for attack, control in controls.items():
            credit = attacked(attack, subject.rebuilt)
            value, ceiling = float(credit[forget].mean()), float(controls["full"][forget].mean())
            count, kept = int(forget.sum()), int((~forget).sum())
            found += [
                Measure(f"recovery_{attack}", recovered(value, ceiling, subject.classes), count),
                Measure(f"accuracy:{attack}", value, count),
                Measure(f"control:{attack}", float(control[forget].mean()), count),
                Measure(f"retained:{attack}", float(credit[~forget].mean()), kept),
            ]
        return found


def resurrected(
    classifier: Classifier, images: Images, size: tuple[int, int] | None, spec: RunSpec, seed: int
) -> Classifier:
    """Tune new prompts of a classifier on an attacker's images, and nothing else of it.

    Parameters
    ----------
    classifier
        A classifier that may be changed.
    images
        The labelled images.
    size
        See `add_prompts`.
    spec
        The run, whose task and batch size give the number of steps.
    seed
        Draws the first values of the prompts and the order of the images.
    """
    for parameter in classifier.trainable():
        parameter.requires_grad_(False)
    task, batch = spec.task, spec.training.batch
    steps = PASSES * max(1, len(task.domains) * len(task.classes) * task.shots // batch)
    torch.manual_seed(seed)
    prompts = add_prompts(classifier, size)
    tune(classifier, prompts, images, steps=steps, lr=LR, batch=batch, seed=seed)
    return classifier
