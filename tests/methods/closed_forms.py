"""What comparisons of methods with closed forms share: prepared classifiers, and the sums that formulas are made of."""

from __future__ import annotations

import torch
from torch import Tensor


def prepared(method, problem):
    """Return the classifier that a method is about to train."""
    model = problem.classifier()
    method.prepare(problem, model)
    return model


def stirred(method, problem, spread: float = 0.1):
    """Return the classifier that a method trains, moved at random from its start, where some terms vanish."""
    model = prepared(method, problem)
    with torch.no_grad():
        for weight in model.trainable():
            weight += spread * torch.randn_like(weight)
    return model


def errors(logits: Tensor, labels: Tensor) -> Tensor:
    """Return -log p of each label, (N,)."""
    return -logits.log_softmax(dim=1)[torch.arange(len(labels)), labels]


def divergence(wanted: Tensor, found: Tensor, dim: int = 1) -> Tensor:
    """Return KL(softmax of wanted || softmax of found) along a dimension."""
    chances = wanted.softmax(dim)
    return (chances * (chances.log() - found.softmax(dim).log())).sum(dim)


def assert_same_terms(found: dict[str, Tensor], expected: dict[str, Tensor], weights: list[Tensor]) -> None:
    """Compare loss terms by name, with their gradients: a term may have the right value and teach nothing."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
        slopes = [
            torch.cat([g.flatten() for g in torch.autograd.grad(v, weights, retain_graph=True, materialize_grads=True)])
            if v.requires_grad
            else torch.zeros(sum(weight.numel() for weight in weights))
            for v in (found[name], value)
        ]
        size = float(slopes[1].abs().max())
        torch.testing.assert_close(
            slopes[0], slopes[1], atol=1e-3 * size, rtol=0, msg=lambda m, n=name: f"gradient of {n}: {m}"
        )
