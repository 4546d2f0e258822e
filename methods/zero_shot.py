"""Zero-shot CLIP: nothing is trained."""

from dataclasses import dataclass

from adu_bench.api import Card, Classifier, Method, Problem


@dataclass(frozen=True, kw_only=True)
class ZeroShot(Method):
    """Use the backbone without changes: the accuracy before unlearning."""

    card = Card(
        name="zero-shot",
        group="reference",
        title="Learning Transferable Visual Models From Natural Language Supervision",
        authors="Radford et al.",
        year=2021,
        paper="arXiv:2103.00020",
        licence="MIT",
    )

    def unlearn(self, problem: Problem) -> Classifier:
        """Return the zero-shot classifier."""
        return problem.classifier()
