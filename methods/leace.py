"""LEACE-conditioned erasure (Belrose et al. 2023): the class is erased from features of images in forget domains."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adu_bench.api import Card, Classifier, Method, Part, Problem, add_domain_gate

from ._trained import require_forget_images


@dataclass(frozen=True, kw_only=True)
class Leace(Method):
    """Erase what is linear in the class from features, where a domain probe detects a forget domain."""

    card = Card(
        name="leace",
        group="training-free",
        title="LEACE: Perfect linear concept erasure in closed form",
        authors="Belrose et al.",
        year=2023,
        paper="arXiv:2306.03819",
        licence="own implementation, MIT; the official code is MIT",
        notes=(
            "Closed form. LEACE removes one concept from all inputs; here the concept is the class, and it is "
            "removed only where a linear probe on frozen features detects a forget domain, since it has to stay "
            "elsewhere. The eraser is fitted on the few-shot images of the forget domains: on these, no linear "
            "classifier does better than a constant, for any shrinkage (before features are scaled to unit length, "
            "which changes no answer). With fewer images than feature dimensions the covariance is shrunk towards a "
            "multiple of the identity; how well the erasure carries over to other images depends on the number of "
            "shots. The official code shrinks by a formula of its own; here the share is a field. It also cuts small "
            "singular values and keeps the covariance's trace from growing; here neither."
        ),
    )

    # No source: the official code computes a shrinkage.
    ranges = {"shrinkage": (1e-3, 1.0)}
    bounds = {"shrinkage": "> 0, <= 1", "weight_decay": ">= 0"}

    shrinkage: float = 0.1
    """Share of the scaled identity in the covariance, above 0."""
    weight_decay: float = 1e-3
    """Squared-norm penalty on the domain probe's standardised weights."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Fit the probe and the eraser, and add both as one part."""
        require_forget_images(problem)
        model = problem.classifier()
        scratch = problem.classifier()
        gate = add_domain_gate(problem, scratch, answer="uniform", weight_decay=self.weight_decay)
        forget = [domain in problem.forget for domain in problem.domains]
        part = model.add("eraser", ClassEraser(model.feature_width, forget))
        chosen = problem.train.forget
        train, classes = problem.train, len(problem.classes)
        mean, matrix = eraser(train.frozen[chosen], train.labels[chosen], classes, self.shrinkage)
        with torch.no_grad():
            part.probe.load_state_dict(gate.probe.state_dict())
            part.mean.copy_(mean)
            part.matrix.copy_(matrix)
            part.logit_scale.copy_(problem.backbone.logit_scale)
        return model


class ClassEraser(Part):
    """Scores images of forget domains from features without what is linear in the class.

    Parameters
    ----------
    width
        Feature dimension.
    forget
        For each domain of the probe, whether it is to be forgotten.
    """

    forget: Tensor
    mean: Tensor
    matrix: Tensor
    logit_scale: Tensor

    def __init__(self, width: int, forget: list[bool]) -> None:
        super().__init__()
        self.probe = nn.Linear(width, len(forget))
        self.register_buffer("forget", torch.tensor(forget), persistent=False)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("matrix", torch.eye(width))
        self.register_buffer("logit_scale", torch.ones(()))

    def score(self, logits: Tensor, features: Tensor, text: Tensor) -> Tensor:
        """Replace the logits (N, C) of the images that the probe assigns to a forget domain."""
        stopped = self.forget[self.probe(features).argmax(dim=-1)]
        erased = self.mean + (features - self.mean) @ self.matrix.T
        return torch.where(stopped[:, None], self.logit_scale * F.normalize(erased, dim=-1) @ text.T, logits)


def eraser(features: Tensor, labels: Tensor, classes: int, shrinkage: float) -> tuple[Tensor, Tensor]:
    """Return mean (D,) and matrix (D, D) of the map x -> mean + matrix (x - mean) that erases the labels.

    With W the inverse root of the shrunk covariance, and P the projection on the column space of W times the
    cross-covariance with the classes, the matrix is I - W^-1 P W.  The cross-covariance of the result is zero for
    every invertible W; without shrinkage the map is the smallest one in the covariance's norm.

    Parameters
    ----------
    features, labels
        (N, D) and (N,), int64.
    classes
        Their number.
    shrinkage
        Share of the identity, scaled to the same trace, in the covariance; above 0.
    """
    x = features.double()
    kinds = F.one_hot(labels, classes).double()
    mean = x.mean(dim=0)
    centred, kinds = x - mean, kinds - kinds.mean(dim=0)
    covariance = centred.T @ centred / len(x)
    identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    scale = (covariance.diagonal().mean()).clamp_min(1e-12)
    values, vectors = torch.linalg.eigh((1 - shrinkage) * covariance + shrinkage * scale * identity)
    whiten = vectors @ (vectors / values.sqrt()).T
    colour = vectors @ (vectors * values.sqrt()).T
    left, singular, _ = torch.linalg.svd(whiten @ (centred.T @ kinds / len(x)), full_matrices=False)
    left = left[:, singular > 1e-8 * singular.max().clamp_min(1e-12)]
    matrix = identity - colour @ left @ (left.T @ whiten)
    return mean.to(features.dtype), matrix.to(features.dtype)
