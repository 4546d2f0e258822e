"""Untargeted forgetting: the same share of wrong answers in every domain, as the bound that a method must beat."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adu_bench.api import Card, Classifier, Method, Part, Problem, harmonic_h


@dataclass(frozen=True, kw_only=True)
class Coin(Method):
    """Answer uniformly for a random share of all images, whatever their domain: forgetting without selection."""

    card = Card(
        name="coin",
        group="reference",
        title="Untargeted forgetting",
        authors="adu-bench",
        year=2026,
        paper="none",
        licence="MIT",
        notes=(
            "Mem and For only trade places here, yet H reaches about one half wherever the backbone is right in more "
            "than half of the images: an H near 50 is no sign that anything was forgotten selectively. The share is "
            "the one with the best H on the validation images."
        ),
    )

    steps: int = 20
    """Shares tried between 0 and 1."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Choose the share of uniform answers."""
        model, held_out = problem.classifier(), problem.validation
        coin = model.add("coin", RandomSilence(model.feature_width))
        with torch.no_grad():
            logits = problem.classifier().classify(held_out.frozen)
            scores = []
            for step in range(self.steps + 1):
                coin.share.fill_(step / self.steps)
                answers = coin.adjust(logits, held_out.frozen)
                scores.append(harmonic_h(answers, held_out.labels, held_out.forget))
            coin.share.fill_(scores.index(max(scores)) / self.steps)
        return model


class RandomSilence(Part):
    """Uniform answers for a share of images that depends on the image alone, not on its class or domain.

    Parameters
    ----------
    width
        Feature dimension.
    """

    needs_frozen = True
    share: Tensor
    """Share of images without an answer, 0..1."""
    direction: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("share", torch.zeros(()))
        self.register_buffer("direction", torch.randn(width, generator=torch.Generator().manual_seed(0)))

    def adjust(self, logits: Tensor, frozen: Tensor | None) -> Tensor:
        """Silence the images whose features fall into the share of a fine, and so arbitrary, ruler."""
        assert frozen is not None
        place = torch.frac((frozen.double() @ self.direction.double()).abs() * 1e3)
        return torch.where((place < self.share)[:, None], torch.zeros_like(logits), logits)
