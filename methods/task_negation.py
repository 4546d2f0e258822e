"""Task negation (Ilharco et al. 2023): fine-tune on forget domains, then subtract what changed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adu_bench.api import Batch, Card, Classifier, Losses, Problem, memorize

from ._trained import Loss, WeightsTrained, plain_batches, require_forget_images


@dataclass(frozen=True, kw_only=True)
class TaskNegation(WeightsTrained):
    """Fine-tune the image tower on forget images and move the weights the other way."""

    card = Card(
        name="task-negation",
        group="weights",
        title="Editing Models with Task Arithmetic",
        authors="Ilharco et al.",
        year=2023,
        paper="arXiv:2212.04089",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "Made with CLIP, for tasks; here the task is to recognise the classes in forget domains. Trained: the "
            "image tower, with the zero-shot texts as class weights (AdamW, lr 1e-5, weight decay 0.1, 2,000 "
            "iterations of 128 images, clipped gradients and 200 steps of warm-up there). The coefficient is the "
            "largest of 0, 0.05, ..., 1 that keeps a share of the control accuracy (95 % in the paper, on held-out "
            "images of another task; here on the few-shot images of retain domains, without augmentation)."
        ),
    )
    optimiser = "adamw"
    weight_decay = 0.1

    # No source for few-shot training: rates around the official 1e-5.
    ranges = {"lr": (1e-6, 1e-3), "control": [0.8, 0.9, 0.95]}
    bounds = {"coefficient": ">= 0", "control": ">= 0, <= 1", "grid": ">= 1"}

    epochs: int = 50
    """Passes over the few-shot images, of which those of forget domains count."""
    lr: float = 1e-5
    """Peak learning rate of AdamW."""
    coefficient: float | None = None
    """How much of the change is subtracted; 0 is zero-shot CLIP, and None chooses it by the control accuracy."""
    control: float = 0.95
    """Share of the zero-shot accuracy on retain images that has to be kept."""
    grid: int = 20
    """Number of coefficients between 0 and 1 that are tried."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the forget images' cross-entropy, and keep the weights as they are now."""
        require_forget_images(problem)
        before = [weight.detach().clone() for weight in model.trainable()]
        object.__setattr__(self, "_before", before)

        def terms(batch: Batch) -> Losses:
            return {"learn": memorize(model.logits(batch.images), batch.labels, ~batch.forget)}

        return terms

    @torch.no_grad()
    def finish(self, problem: Problem, model: Classifier) -> None:
        """Subtract the change, times the coefficient."""
        weights, start = model.trainable(), self._before
        change = [weight - old for weight, old in zip(weights, start, strict=True)]

        def apply(coefficient: float) -> None:
            for weight, old, moved in zip(weights, start, change, strict=True):
                weight.copy_(old - coefficient * moved)

        if self.coefficient is not None:
            apply(self.coefficient)
            return
        model.eval()
        accuracies = []
        for step in range(self.grid + 1):
            apply(step / self.grid)
            accuracies.append(retain_accuracy(problem, model))
        kept = torch.stack(accuracies).tolist()
        step = max(step for step, accuracy in enumerate(kept) if accuracy >= self.control * kept[0])
        apply(step / self.grid)
        problem.log(coefficient=step / self.grid)


@torch.no_grad()
def retain_accuracy(problem: Problem, model: Classifier) -> Tensor:
    """Return the accuracy on the few-shot images of retain domains, without augmentation; zero without any."""
    right = [
        (model.logits(batch.images).argmax(dim=1) == batch.labels).float()
        for batch in plain_batches(problem, False)
        if len(batch)
    ]
    return torch.cat(right).mean() if right else torch.zeros((), device=problem.device)
