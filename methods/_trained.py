"""What gradient methods share: a loop over the few-shot images, losses, and counters."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adu_bench.api import Batch, Classifier, Losses, Method, Problem, RunFailed, fit, memorize, uniform_ce

Loss = Callable[[Batch], Losses]


@dataclass(frozen=True, kw_only=True)
class Trained(Method):
    """Prepare a classifier, then minimise a loss; by default L_memorize + L_forget."""

    bounds = {"epochs": ">= 1", "lr": "> 0", "crop": "> 0, <= 1"}
    optimiser: ClassVar[Literal["sgd", "adamw"]] = "sgd"
    weight_decay: ClassVar[float] = 5e-4

    epochs: int = 50
    """Passes over the few-shot images."""
    lr: float = 2e-3
    """Peak learning rate."""
    crop: float = 0.08
    """Smallest share of the area that random-resized-crop keeps."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Prepare, train and finish the classifier."""
        model = problem.classifier()
        self.prepare(problem, model)
        loss = self.loss(problem, model)
        fit(
            problem,
            model,
            loss,
            epochs=self.epochs,
            lr=self.lr,
            optimiser=self.optimiser,
            weight_decay=self.weight_decay,
            crop=self.crop,
        )
        self.finish(problem, model)
        return model.eval()

    def prepare(self, problem: Problem, model: Classifier) -> None:
        """Add parts, or unfreeze weights."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the function from a batch to loss terms."""

        def terms(batch: Batch) -> Losses:
            logits = model.logits(batch.images)
            return {
                "memorize": memorize(logits, batch.labels, batch.forget),
                "forget": uniform_ce(logits, batch.forget),
            }

        return terms

    def finish(self, problem: Problem, model: Classifier) -> None:
        """Change the trained classifier."""


@dataclass(frozen=True, kw_only=True)
class WeightsTrained(Trained):
    """Fine-tune weights of the image tower; texts stay those of zero-shot CLIP."""

    epochs: int = 10
    """Passes over the few-shot images."""
    lr: float = 1e-4
    """Peak learning rate."""
    weights: Literal["visual", "late", "norms"] = "visual"
    """The weights that change: the whole image tower, the later half of its blocks with what follows, or its norms."""

    def prepare(self, problem: Problem, model: Classifier) -> None:
        """Unfreeze the chosen weights."""
        model.unfreeze(*weight_patterns(model, self.weights))


def weight_patterns(model: Classifier, which: str) -> list[str]:
    """Return patterns of parameter names for `Classifier.unfreeze`; see `WeightsTrained.weights`."""
    if which == "visual":
        return ["visual.*"]
    model.require_image_hooks(f"The choice of weights '{which}'")
    if which == "norms":
        return ["visual.*ln_*"]
    blocks = [f"visual.transformer.resblocks.{i}.*" for i in range(model.image_depth // 2, model.image_depth)]
    return [*blocks, "visual.ln_post.*", "visual.proj"]


class Steps:
    """Counts the steps of training, from what the loss sees of it.

    Parameters
    ----------
    problem
        Gives the number of images and of images per batch.
    """

    def __init__(self, problem: Problem) -> None:
        self.per_epoch = len(problem.train) // min(problem.training.batch, len(problem.train))
        self.step = -1
        self._last: Batch | None = None

    def __call__(self, batch: Batch) -> int:
        """Return the number of this batch's step, from 0; a batch that is tried again in chunks counts once."""
        if batch is not self._last:
            self.step, self._last = self.step + 1, batch
        return self.step


def group_mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen values, both (N,); zero, with zero gradients, if none is chosen."""
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp_min(1)


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each image (N,)."""
    return F.cross_entropy(logits.float(), labels, reduction="none")


def divergences(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the divergence KL(teacher || student) of each image (N,), times the squared temperature."""
    student = F.log_softmax(logits.float() / temperature, dim=-1)
    wanted = F.log_softmax(teacher.float() / temperature, dim=-1)
    return temperature**2 * F.kl_div(student, wanted, reduction="none", log_target=True).sum(dim=-1)


def zero_shot(problem: Problem) -> Callable[[Tensor], Tensor]:
    """Return the function from images to the logits (N, C) of zero-shot CLIP, without gradients."""
    teacher = problem.classifier().eval()
    text = teacher.text_features()
    return lambda images: teacher.classify(problem.backbone.image_features(images), text=text)


def require_forget_images(problem: Problem) -> None:
    """Raise RunFailed if there is no image of a domain to be forgotten."""
    if not bool(problem.train.forget.any()):
        raise RunFailed("There is no image of a domain that is to be forgotten, and this method needs some.")


def plain_batches(problem: Problem, forget: bool | None = None) -> list[Batch]:
    """Return the few-shot images in order and without augmentation: all, those to forget, or those to retain."""
    rows = torch.arange(len(problem.train))
    if forget is not None:
        rows = rows[problem.train.forget.cpu() == forget]
    problem.image_passes += len(rows)
    return [problem.train.select(part) for part in rows.to(problem.device).split(problem.training.batch)]


def gradients(
    batches: Iterable[Batch], weights: list[nn.Parameter], loss: Callable[[Batch], Tensor], power: int = 1
) -> list[Tensor]:
    """Return for each weight the mean over batches of its gradient, raised to a power."""
    batches = list(batches)
    totals = [torch.zeros_like(weight) for weight in weights]
    for batch in batches:
        for total, found in zip(totals, torch.autograd.grad(loss(batch), weights, allow_unused=True), strict=True):
            if found is not None:
                total += found**power / len(batches)
    return totals
