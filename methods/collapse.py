"""Total collapse: a reference for methods that destroy the model."""

from dataclasses import dataclass

from adu_bench.api import Card, Classifier, Method, Problem, UniformAnswer


@dataclass(frozen=True, kw_only=True)
class Collapse(Method):
    """Answer uniformly to every image: everything is forgotten, nothing is kept."""

    card = Card(
        name="collapse",
        group="reference",
        title="Uniform answers",
        authors="adu-bench",
        year=2026,
        paper="none",
        licence="MIT",
        notes="Its Mem is chance and its For is one minus chance; a method near it has destroyed the model.",
    )

    def unlearn(self, problem: Problem) -> Classifier:
        """Return the zero-shot classifier with uniform answers."""
        model = problem.classifier()
        model.add("collapse", UniformAnswer())
        return model
