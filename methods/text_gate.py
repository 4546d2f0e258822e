"""A gate without training: the words for a domain decide which images get a uniform answer."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from adu_bench.api import Card, Classifier, DomainGate, Method, Problem


@dataclass(frozen=True, kw_only=True)
class TextGate(Method):
    """Answer uniformly where zero-shot CLIP reads the words of a forget domain in an image; nothing is trained."""

    card = Card(
        name="text-gate",
        group="training-free",
        title="Zero-shot domain words and abstention",
        authors="adu-bench",
        year=2026,
        paper="none",
        licence="MIT",
        notes=(
            "Training-free, and uses no image. It shows what domain names alone achieve; names that say little about "
            "the images (such as those of artists) give a poor gate. As with domain-gate, knowledge is hidden at the "
            "output and comes back without the gate."
        ),
    )
    ranges = {"phrase": ["a {domain} of a {name}.", "a {domain} picture of a {name}.", "{name}, in the style {domain}"]}

    phrase: str = "a {domain} of a {name}."
    """Text for a domain and a class; a domain is the mean of its texts' unit features over all classes."""

    @torch.no_grad()
    def unlearn(self, problem: Problem) -> Classifier:
        """Add the gate to zero-shot CLIP."""
        model = problem.classifier()
        words = []
        for domain in problem.domains:
            named = [self.phrase.format(domain=domain.replace("_", " "), name=name) for name in problem.classes]
            words.append(F.normalize(problem.backbone.text_features(named).mean(dim=0), dim=0))
        gate = DomainGate(model.feature_width, [domain in problem.forget for domain in problem.domains])
        model.add("gate", gate)
        gate.probe.weight.copy_(torch.stack(words))
        gate.probe.bias.zero_()
        problem.report("domain words", 1, 1)
        return model
