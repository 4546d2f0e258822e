"""A method that forgets by a bias alone: a control for audits that put answers right."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adu_bench.api import Card, Classifier, Method, Part, Problem


@dataclass(frozen=True, kw_only=True)
class Biased(Method):
    """Add a large bias to one class, so that it is the answer to every image."""

    card = Card(
        name="biased", group="other", title="A bias", authors="adu-bench", year=2026, paper="none",
        licence="MIT", notes="All images get the first class.",
    )  # fmt: skip

    def unlearn(self, problem: Problem) -> Classifier:
        """Add the bias to zero-shot CLIP."""
        model = problem.classifier()
        model.add("bias", Bias(len(problem.classes)))
        return model


class Bias(Part):
    """A bias on the logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.values = nn.Parameter(15.0 * (torch.arange(classes) == 0))

    def score(self, logits: Tensor, features: Tensor, text: Tensor) -> Tensor:
        """Add the bias."""
        return logits + self.values
