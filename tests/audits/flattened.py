"""A method that destroys its features: a control that audits of features must tell from zero-shot."""

from dataclasses import dataclass

import torch

from adu_bench.api import Card, Classifier, Method, Problem


@dataclass(frozen=True, kw_only=True)
class Flattened(Method):
    """Project all features onto one direction, by changed weights."""

    card = Card(
        name="flattened", group="other", title="Flattened features", authors="adu-bench", year=2026, paper="none",
        licence="MIT", notes="All images have one of two features.",
    )  # fmt: skip

    def unlearn(self, problem: Problem) -> Classifier:
        """Replace the last projection by one of rank one."""
        model = problem.classifier()
        (weights,) = model.unfreeze("visual.proj")
        with torch.no_grad():
            first = weights[:, :1].clone()
            weights.copy_(first.expand_as(weights))
        return model
