"""Bad teacher (Chundawat et al. 2023): a competent teacher on retain domains, an incompetent one on forget domains."""

from dataclasses import dataclass

import torch

from adu_bench.api import Batch, Card, Classifier, Losses, Problem

from ._trained import Loss, WeightsTrained, divergences, group_mean, zero_shot


@dataclass(frozen=True, kw_only=True)
class BadTeacher(WeightsTrained):
    """Distil zero-shot CLIP on retain images and a teacher that knows nothing on forget images."""

    card = Card(
        name="bad-teacher",
        group="weights",
        title="Can Bad Teaching Induce Forgetting? Unlearning in Deep Networks using an Incompetent Teacher",
        authors="Chundawat et al.",
        year=2023,
        paper="arXiv:2205.08096",
        licence="own implementation, MIT; the official code is MIT",
        notes=(
            "Made for classes and samples; here the images of forget domains are the forget set. Trained: the image "
            "tower; no label is used. The official incompetent teacher is a network with random weights, whose "
            "answers are nearly uniform. CLIP's temperature would make a random tower sure of one class, so the "
            "teacher here is the uniform answer itself. Divergences at temperature 1; Adam with lr 1e-4 for one "
            "epoch in later comparisons (0.01 and 10 epochs in the official code); here SGD with momentum 0.9. The "
            "official code takes 30 % of the retain images and weighs every image alike; here forget and retain "
            "images weigh the same."
        ),
    )

    # No source for CLIP.
    ranges = {"lr": (1e-4, 1e-1)}

    lr: float = 1e-2
    """Peak learning rate of SGD."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the divergences from the two teachers."""
        competent = zero_shot(problem)

        def terms(batch: Batch) -> Losses:
            logits = model.logits(batch.images)
            near = divergences(logits, competent(batch.images))
            nothing = divergences(logits, torch.zeros_like(logits))
            return {"retain": group_mean(near, ~batch.forget), "forget": group_mean(nothing, batch.forget)}

        return terms
