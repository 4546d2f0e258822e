"""SLUG (Cai et al. 2025): one step along one gradient in one layer, both chosen by a search."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from adu_bench.api import Batch, Card, Classifier, Method, Problem, harmonic_h

from ._trained import cross_entropies, gradients, plain_batches, require_forget_images


@dataclass(frozen=True, kw_only=True)
class Slug(Method):
    """Move one weight matrix of the image tower along the forget gradient, by a step that a search chooses."""

    card = Card(
        name="slug",
        group="weights",
        title="Targeted Unlearning with Single Layer Unlearning Gradient",
        authors="Cai et al.",
        year=2025,
        paper="arXiv:2407.11867",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "Made for identities and objects in CLIP; here pairs of a forget domain's image and its class text are "
            "forgotten, with the loss 1 - cos, and the retain gradient is that of the retain images' cross-entropy. "
            "Candidates are the weight matrices of the image tower on the Pareto front of importance (norm of the "
            "forget gradient over norm of the weights, high) and alignment (absolute cosine with the retain "
            "gradient, low). The official candidates include norms and exclude the positional embedding, and layers "
            "of the text tower count as well; its retain gradient is that of the contrastive loss. For each the step "
            "is found by about ten evaluations: downwards from a large one, then a little above the best (a "
            "bisection there); the score is H on the few-shot images, since no method sees other images (the "
            "official code uses held-out accuracies)."
        ),
    )

    # No source.
    ranges = {"largest": (0.1, 10.0)}
    bounds = {"iterations": ">= 1", "layers": ">= 1", "largest": "> 0"}

    iterations: int = 10
    """Evaluations for each layer."""
    layers: int = 5
    """Layers of the front that are tried at most, the most important ones."""
    largest: float = 1.0
    """Largest step, as a multiple of the layer's norm over the gradient's norm."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Choose the layer and the step."""
        require_forget_images(problem)
        model = problem.classifier()
        names = [
            name for name, weight in model.model.named_parameters() if name.startswith("visual.") and _wide(weight)
        ]
        weights = model.unfreeze(*names)
        text = model.text_features().detach()

        def unlike(batch: Batch) -> Tensor:
            return (1 - (model.features(batch.images) * text[batch.labels]).sum(dim=1)).mean()

        def wrong(batch: Batch) -> Tensor:
            return cross_entropies(model.logits(batch.images), batch.labels).mean()

        forget = gradients(plain_batches(problem, True), weights, unlike)
        retain = gradients(plain_batches(problem, False), weights, wrong)
        with torch.no_grad():
            importance = torch.stack([own.norm() / w.norm() for own, w in zip(forget, weights, strict=True)]).tolist()
            pairs = zip(forget, retain, strict=True)
            alignment = torch.stack([F.cosine_similarity(a.flatten(), b.flatten(), dim=0).abs() for a, b in pairs])
            chosen = front(importance, alignment.tolist())[: self.layers]
            best = (-1.0, 0, 0.0)
            for number, place in enumerate(chosen):
                best = max(best, self._search(problem, model, weights[place], forget[place], place))
                problem.report("search", number + 1, len(chosen), f"H {best[0]:.3f}")
            score, place, step = best
            weights[place] += step * forget[place]
        problem.log(layer=place, step=step, h=score)
        return model

    def _search(
        self, problem: Problem, model: Classifier, weight: Tensor, gradient: Tensor, place: int
    ) -> tuple[float, int, float]:
        """Return the best H, the place and the step: steps halve from the largest, then some above the best."""
        start, largest = weight.clone(), self.largest * float(weight.norm() / gradient.norm().clamp_min(1e-20))
        tried: dict[float, float] = {}

        def score(step: float) -> None:
            weight.copy_(start + step * gradient)
            tried[step] = few_shot_h(problem, model)

        coarse = (self.iterations + 1) // 2
        for power in range(coarse):
            score(largest / 2**power)
        width = 0.5
        for _ in range(self.iterations - coarse):
            width /= 2
            score(max(tried, key=tried.__getitem__) * (1 + width))
        weight.copy_(start)
        step = max(tried, key=tried.__getitem__)
        return tried[step], place, step


def front(importance: list[float], alignment: list[float]) -> list[int]:
    """Return the places that no other place beats in both, high importance and low alignment; important ones first."""
    order = sorted(range(len(importance)), key=lambda place: (-importance[place], alignment[place]))
    found: list[int] = []
    for place in order:
        if not found or alignment[place] < alignment[found[-1]]:
            found.append(place)
    return found


def few_shot_h(problem: Problem, model: Classifier) -> float:
    """Return H on the few-shot images, without augmentation."""
    logits = torch.cat([model.logits(batch.images) for batch in plain_batches(problem)])
    return harmonic_h(logits, problem.train.labels, problem.train.forget)


def _wide(weight: Tensor) -> bool:
    return weight.dim() >= 2
