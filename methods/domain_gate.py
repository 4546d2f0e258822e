"""Domain gates: detect the domain from frozen features, and replace the answer in forget domains."""

from dataclasses import dataclass
from typing import Literal

from adu_bench.api import Card, Classifier, Method, Preset, Problem, add_domain_gate


@dataclass(frozen=True, kw_only=True)
class Gate(Method):
    """Answer uniformly where a linear probe on frozen features detects a forget domain; CLIP stays unchanged."""

    card = Card(
        name="domain-gate",
        group="reference",
        title="Domain detection and abstention",
        authors="adu-bench",
        year=2026,
        paper="none",
        licence="MIT",
        notes=(
            "A sanity bound: trained unlearning should match it. It hides knowledge at the output but removes none: "
            "without the gate, all of it is back."
        ),
    )
    presets = (
        Preset(
            "derange-gate",
            group="reference",
            summary="Deliberately wrong: the second-best class where the probe detects a forget domain.",
            answer="second",
        ),
    )

    bounds = {"weight_decay": ">= 0"}

    answer: Literal["uniform", "second"] = "uniform"
    """The answer of the gate: uniform, or the second-best class.  The latter shows that a For above one minus chance is
    not better forgetting: the model uses its knowledge to be wrong."""
    weight_decay: float = 1e-3
    """Squared-norm penalty on the probe's standardised weights."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Fit the probe on the few-shot images and add the gate to zero-shot CLIP."""
        model = problem.classifier()
        add_domain_gate(problem, model, answer=self.answer, weight_decay=self.weight_decay)
        return model
