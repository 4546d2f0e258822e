"""Parts that act on features and logits: domain heads, domain gates and uniform answers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adu_bench.clip.part import Part


class DomainHead(Part):
    """Linear domain classifier on image features; it is used in training only and does not change predictions.

    Parameters
    ----------
    inputs
        Feature dimension.
    outputs
        Number of outputs, at least the number of domains (the released code has more than it uses).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, D) to domain logits (N, outputs)."""
        return self.linear(features)


class DomainGate(Part):
    """Domain gate: replaces the answer if a probe on the frozen features detects a forget domain.

    Parameters
    ----------
    inputs
        Feature dimension.
    forget
        For each domain of the probe, whether it is to be forgotten.
    answer
        ``"uniform"`` (no information about the class) or ``"second"`` (the second-best class: deliberately wrong).
    """

    needs_frozen = True
    forget: Tensor

    def __init__(self, inputs: int, forget: list[bool], answer: str = "uniform") -> None:
        super().__init__()
        if answer not in ("uniform", "second"):
            raise ValueError(f"answer must be 'uniform' or 'second', not {answer!r}")
        self.answer = answer
        self.probe = nn.Linear(inputs, len(forget))
        self.register_buffer("forget", torch.tensor(forget), persistent=False)

    def adjust(self, logits: Tensor, frozen: Tensor | None) -> Tensor:
        """Replace the logits of the images that the probe assigns to a forget domain."""
        assert frozen is not None
        stopped = self.forget[self.probe(frozen.float()).argmax(dim=-1)]
        return torch.where(stopped[:, None], self._replacement(logits), logits)

    def _replacement(self, logits: Tensor) -> Tensor:
        if self.answer == "uniform":
            return torch.zeros_like(logits)
        values, order = logits.topk(2, dim=-1)
        return logits.scatter(1, order, values.flip(-1))


class UniformAnswer(Part):
    """Total collapse: every image gets the uniform answer."""

    def adjust(self, logits: Tensor, frozen: Tensor | None) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(logits)
