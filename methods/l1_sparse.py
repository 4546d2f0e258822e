"""l1-sparse fine-tuning (Jia et al. 2023): fine-tune on retain domains with a penalty on the size of weights."""

from dataclasses import dataclass

import torch

from adu_bench.api import Batch, Card, Classifier, Losses, Problem, memorize

from ._trained import Loss, Steps, WeightsTrained


@dataclass(frozen=True, kw_only=True)
class L1Sparse(WeightsTrained):
    """Fine-tune the image tower on retain images with an l1 penalty, which weakens what they do not need."""

    card = Card(
        name="l1-sparse",
        group="weights",
        title="Model Sparsity Can Simplify Machine Unlearning",
        authors="Jia et al.",
        year=2023,
        paper="arXiv:2304.04934",
        licence="own implementation, MIT; the official code is MIT",
        notes=(
            "Made for classes and samples; here fine-tuning uses the images of retain domains only. Trained: the "
            "image tower. The penalty falls linearly to zero over training, as in the official code; lr 0.01, 10 "
            "epochs, SGD with momentum 0.9 and weight decay 5e-4. Its lr is constant there; with the project's "
            "warm-up and cosine the penalty acts about two thirds as much. Its weight depends on the data there; "
            "1e-5 is the value of a later implementation (MIT). The forget images are never seen, so on CLIP little "
            "may be forgotten."
        ),
    )

    # penalty: around the 1e-5 of a later implementation and the 5e-4 of others.  lr: around the official 0.01.
    ranges = {"lr": (1e-4, 1e-1), "penalty": (1e-6, 1e-2)}
    bounds = {"penalty": ">= 0"}

    lr: float = 1e-2
    """Peak learning rate of SGD."""
    penalty: float = 1e-5
    """Weight of the sum of absolute weights at the start."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return cross-entropy and penalty."""
        weights, steps = model.trainable(), Steps(problem)

        def terms(batch: Batch) -> Losses:
            left = 1 - (steps(batch) // steps.per_epoch) / self.epochs
            size = torch.stack([weight.float().abs().sum() for weight in weights]).sum()
            retain = memorize(model.logits(batch.images), batch.labels, batch.forget)
            return {"retain": retain, "penalty": self.penalty * left * size}

        return terms
