"""Null-space projection (Mishra et al. 2025), domain-selective: remove directions of the forget domains' classes."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from adu_bench.api import Card, Classifier, Method, Problem, RunFailed


@dataclass(frozen=True, kw_only=True)
class NullSpace(Method):
    """Project the image tower's last layer off class prototypes of forget domains that retain domains do not use."""

    card = Card(
        name="null-space",
        group="training-free",
        title="Selective, Controlled and Domain-Agnostic Unlearning in Pretrained CLIP",
        authors="Mishra et al.",
        year=2025,
        paper="arXiv:2512.14113",
        licence="own implementation, MIT; no official code was found",
        notes=(
            "Closed form, without training. The projection layer is multiplied by I - s U U^T, as in the sibling paper "
            "arXiv:2512.14137, which has the partial strength s. U spans the prototypes of (class, forget domain): "
            "the text with both names, and an image prototype. The paper synthesises image prototypes by optimising "
            "pixels; here they are the means of the few-shot images, since these are given. Before that, the leading "
            "directions of the retain domains' prototypes are taken out, so that these domains keep them; the share of "
            "their energy is a choice of this port. The paper's own rule for what a domain keeps, its numbers and its "
            "settings could not be established. A linear map of features cannot treat the same content differently by "
            "domain, so retain domains suffer where domains share directions."
        ),
    )

    # No source: the paper shows partial projections between 0 and 1.
    ranges = {"strength": [0.25, 0.5, 0.75, 0.9, 1.0], "kept_energy": [0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99]}
    bounds = {"strength": ">= 0, <= 1", "kept_energy": ">= 0, <= 1"}

    strength: float = 1.0
    """Share of the directions that is removed; 0 changes nothing."""
    kept_energy: float = 0.8
    """Share of the energy of the retain domains' prototypes whose directions are kept."""
    phrase: str = "a {domain} of a {name}."
    """Text for a domain and a class."""

    @torch.no_grad()
    def unlearn(self, problem: Problem) -> Classifier:
        """Multiply the projection layer."""
        model = problem.classifier()
        model.require_image_hooks("Null-space projection")
        if model.model.visual.proj is None:
            raise RunFailed("Null-space projection needs an image tower with a projection layer.")
        drop = prototypes(problem, self.phrase, problem.forget)
        keep = prototypes(problem, self.phrase, problem.retain)
        basis = removed_directions(drop, keep, self.kept_energy)
        (weight,) = model.unfreeze("visual.proj")
        weight -= self.strength * (weight @ basis) @ basis.T
        problem.log(removed_directions=basis.shape[1])
        problem.report("projection", 1, 1)
        return model


def prototypes(problem: Problem, phrase: str, domains: tuple[str, ...]) -> Tensor:
    """Return unit text and image prototypes of each class in some domains, (P, D); classes without images have none."""
    train, found = problem.train, []
    for domain in domains:
        texts = [phrase.format(domain=domain.replace("_", " "), name=name) for name in problem.classes]
        found.append(problem.backbone.text_features(texts))
        here = (train.domains == problem.domains.index(domain)).to(train.frozen.dtype)
        member = F.one_hot(train.labels, len(problem.classes)).to(train.frozen.dtype) * here[:, None]
        found.append(F.normalize(member.T @ train.frozen, dim=-1))
    return torch.cat(found)


def removed_directions(drop: Tensor, keep: Tensor, energy: float) -> Tensor:
    """Return an orthonormal basis (D, K) of what spans ``drop`` (P, D) outside the leading directions of ``keep``.

    The leading directions are the fewest right singular vectors with the given share of squared singular values.
    """
    _, values, rows = torch.linalg.svd(keep.double(), full_matrices=False)
    shares = values.square().cumsum(0) / values.square().sum()
    kept = rows[: int((shares < energy).sum()) + 1] if energy else rows[:0]
    rest = drop.double() - drop.double() @ kept.T @ kept
    _, values, rows = torch.linalg.svd(rest, full_matrices=False)
    return rows[: int((values > 1e-6 * max(1.0, len(drop) ** 0.5)).sum())].T.to(drop.dtype)
