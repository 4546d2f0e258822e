"""Untargeted forgetting: the same share of uniform answers in every domain, as a bound that methods must exceed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from adu_bench.api import Card, Classifier, Method, Part, Problem, harmonic_h


@dataclass(frozen=True, kw_only=True)
class Coin(Method):
    """Answer uniformly for a random share of the images of every domain: forgetting without selection."""

    card = Card(
        name="coin",
        group="reference",
        title="Untargeted forgetting",
        authors="adu-bench",
        year=2026,
        paper="none",
        licence="MIT",
        notes=(
            "The share only trades Mem for For, but H reaches about 50 if the backbone is right for more than half of "
            "the images: an H near 50 does not show selective forgetting. The share with the best H on the few-shot "
            "images, on which zero-shot CLIP was not trained, is used."
        ),
    )

    bounds = {"steps": ">= 1"}

    steps: int = 20
    """Number of steps between the shares 0 and 1 that are tried."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Choose the share of uniform answers."""
        model, train = problem.classifier(), problem.train
        coin = model.add("coin", RandomAbstention(model.feature_width))
        with torch.no_grad():
            logits = problem.classifier().classify(train.frozen)
            scores = []
            for step in range(self.steps + 1):
                coin.share.fill_(step / self.steps)
                answers = coin.adjust(logits, train.frozen)
                scores.append(harmonic_h(answers, train.labels, train.forget))
            coin.share.fill_(scores.index(max(scores)) / self.steps)
        return model


class RandomAbstention(Part):
    """Uniform answers for a share of images that depends on the image alone, not on its class or domain.

    Parameters
    ----------
    width
        Feature dimension.
    """

    needs_frozen = True
    share: Tensor
    """Share of images with the uniform answer, 0..1."""
    direction: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("share", torch.zeros(()))
        self.register_buffer("direction", torch.randn(width, generator=torch.Generator().manual_seed(0)))

    def adjust(self, logits: Tensor, frozen: Tensor | None) -> Tensor:
        """Answer uniformly where the fractional part of a scaled projection of the features is below the share."""
        assert frozen is not None
        place = torch.frac((frozen.double() @ self.direction.double()).abs() * 1e3)
        return torch.where((place < self.share)[:, None], torch.zeros_like(logits), logits)
