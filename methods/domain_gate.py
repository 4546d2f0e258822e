"""Domain gates: detect the domain on frozen features, and spoil the answer where it is to be forgotten."""

from dataclasses import dataclass
from typing import Literal

from adu_bench.api import Card, Classifier, Method, Preset, Problem, add_domain_gate


@dataclass(frozen=True, kw_only=True)
class Gate(Method):
    """Answer uniformly where a linear probe on frozen features sees a forget domain; no weight of CLIP changes."""

    card = Card(
        name="domain-gate",
        group="reference",
        title="Domain detection and abstention",
        authors="adu-bench",
        year=2026,
        paper="none",
        licence="MIT",
        notes=(
            "A sanity bound: trained unlearning should match it. It hides knowledge at the output and removes none: "
            "taking the gate away restores everything."
        ),
    )
    presets = (
        Preset(
            "derange-gate",
            group="reference",
            summary="Wrong on purpose: the second-best class where the probe sees a forget domain.",
            answer="second",
        ),
    )

    answer: Literal["uniform", "second"] = "uniform"
    """What the gate answers: nothing, or the second-best class, which shows that a For above one minus chance is
    no better forgetting, since the knowledge is used in order to be wrong."""
    weight_decay: float = 1e-3
    """Squared-norm penalty on the probe's standardised weights."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Fit the probe on the few-shot images and put it in front of zero-shot CLIP."""
        model = problem.classifier()
        add_domain_gate(problem, model, answer=self.answer, weight_decay=self.weight_decay)
        return model
