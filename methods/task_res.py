"""TaskRes (Yu et al. 2023): a learned residual of the class texts' features."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adu_bench.api import Card, Classifier, Part, Problem

from ._trained import Trained


@dataclass(frozen=True, kw_only=True)
class TaskRes(Trained):
    """Learn a residual of each class's text feature on frozen image features."""

    card = Card(
        name="task-res",
        group="tuning",
        title="Task Residual for Tuning Vision-Language Models",
        authors="Yu et al.",
        year=2023,
        paper="arXiv:2211.10277",
        licence="own implementation, MIT; the official code is MIT",
        notes=(
            "The few-shot cross-entropy is replaced by L_memorize + L_forget. Class weights are t + alpha x, scaled "
            "to unit length, with alpha 0.5, as in the official scripts for all data sets but Flowers (1.0); Adam, "
            "lr 0.002, batches of 256, 100 or 200 epochs in the paper. The official optimiser has a weight decay of "
            "5e-4, here none. Image features are frozen, so only what is linear in them can be forgotten."
        ),
    )
    optimiser = "adamw"
    weight_decay = 0.0

    # No source: a factor of ten around the official 2e-3 and more, since the suites have fewer steps.
    ranges = {"lr": (2e-4, 1e-1), "alpha": [0.1, 0.5, 1.0]}
    bounds = {"alpha": ">= 0"}

    epochs: int = 100
    """Passes over the few-shot images."""
    lr: float = 2e-3
    """Peak learning rate of Adam."""
    alpha: float = 0.5
    """Scale of the residual; 0 is zero-shot CLIP."""

    def prepare(self, problem: Problem, model: Classifier) -> None:
        """Add the residual, which starts at zero."""
        part = model.add("residual", TextResidual(len(problem.classes), model.feature_width, self.alpha))
        part.logit_scale.copy_(problem.backbone.logit_scale)


class TextResidual(Part):
    """Class weights t + alpha x of unit length.

    Parameters
    ----------
    classes, width
        Number of classes and feature dimension.
    alpha
        Scale of the residual.
    """

    open_vocabulary = False
    logit_scale: Tensor

    def __init__(self, classes: int, width: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.residual = nn.Parameter(torch.zeros(classes, width))
        self.register_buffer("logit_scale", torch.ones(()))

    def score(self, logits: Tensor, features: Tensor, text: Tensor) -> Tensor:
        """Return the logits (N, C) of the moved texts in place of the zero-shot ones."""
        return self.logit_scale * features @ F.normalize(text + self.alpha * self.residual, dim=-1).T
