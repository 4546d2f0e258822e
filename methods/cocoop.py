"""CoCoOp (Zhou et al. 2022): the text context is shifted by a small network that reads the image."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adu_bench.api import Card, Classifier, ImageContexts, Problem, bottleneck

from ._contexts import TemplateContexts
from ._trained import Trained


@dataclass(frozen=True, kw_only=True)
class CoCoOp(Trained):
    """Learn text context and a network that shifts it for each image."""

    card = Card(
        name="cocoop",
        group="tuning",
        title="Conditional Prompt Learning for Vision-Language Models",
        authors="Zhou et al.",
        year=2022,
        paper="arXiv:2203.05557",
        licence="own implementation, MIT; the official code is MIT",
        notes=(
            "The few-shot cross-entropy is replaced by L_memorize + L_forget. Trained: 4 context tokens and a network "
            "with one hidden layer of a sixteenth of the feature dimension (SGD, lr 0.002, batch 1, 10 epochs in the "
            "official code). Here the texts of a whole batch of images are encoded at once, so batches are the "
            "suite's. The context starts from the template's first words, as in the official code, and at random where "
            "the template has fewer. Small suites reduce the epochs: every image needs its own class texts."
        ),
    )

    # No source; the same as adu's.
    ranges = {"lr": (1e-3, 3e-1)}
    bounds = {"contexts": ">= 1, <= 64"}

    epochs: int = 10
    """Passes over the few-shot images."""
    contexts: int = 4
    """Context tokens."""

    def prepare(self, problem: Problem, model: Classifier) -> None:
        """Add the context and its network."""
        part = model.add("contexts", ShiftedContexts(self.contexts, model.feature_width, model.text_width))
        words = TemplateContexts(self.contexts, 1, model.text_width)
        words.attach(model)
        part.tokens.data.copy_(words.tokens[0])


class ShiftedContexts(ImageContexts):
    """Context tokens plus one shift of all of them, computed from the image's features.

    Parameters
    ----------
    length
        Context tokens.
    features, width
        Dimension of image features, and width of the text tower.
    """

    def __init__(self, length: int, features: int, width: int) -> None:
        super().__init__(length)
        self.tokens = nn.Parameter(torch.randn(length, width) * 0.02)
        self.network = bottleneck(features, width)

    def contexts(self, features: Tensor) -> Tensor:
        """Return the shifted context (N, length, width)."""
        return self.tokens + self.network(features)[:, None]
