"""Visual prompt tuning without unlearning: the control for the effect of few-shot training alone."""

from dataclasses import dataclass

from torch.nn import functional as F

from adu_bench.api import (
    Batch,
    Card,
    Classifier,
    Losses,
    Method,
    Preset,
    Problem,
    VisualPrompts,
    add_domain_gate,
    fit,
)


@dataclass(frozen=True, kw_only=True)
class PromptTuning(Method):
    """Tune deep visual prompts with cross-entropy on the images of all domains; nothing is forgotten."""

    card = Card(
        name="prompt-tuning",
        group="reference",
        title="Visual Prompt Tuning",
        authors="Jia et al.",
        year=2022,
        paper="arXiv:2203.12119",
        licence="own implementation, MIT; the official code is CC BY-NC 4.0",
        notes=(
            "Control: same prompts, images, training budget and defaults as the baseline, without a forget loss; not "
            "the settings of Jia et al."
        ),
    )
    presets = (
        Preset(
            "gate-prompt-tuning",
            group="reference",
            summary="Prompt tuning with a domain gate: the prompts keep the classes, and the gate detects the domains.",
            gate=True,
        ),
    )

    # No source; the same as the baseline's.
    ranges = {"lr": (1e-3, 3e-1)}
    bounds = {
        "epochs": ">= 1",
        "lr": "> 0",
        "prompt_length": ">= 1",
        "prompt_depth": ">= 1, <= 56",
        "crop": "> 0, <= 1",
        "gate_weight_decay": ">= 0",
    }

    epochs: int = 50
    """Passes over the few-shot images."""
    lr: float = 2.5e-3
    """Peak learning rate of SGD."""
    prompt_length: int = 8
    """Prompt tokens per block."""
    prompt_depth: int = 9
    """Number of leading blocks with their own prompts, at most the tower's depth."""
    crop: float = 0.08
    """Smallest share of the area that random-resized-crop keeps."""
    gate: bool = False
    """Answer uniformly where a linear probe on frozen features detects a forget domain."""
    gate_weight_decay: float = 1e-3
    """Squared-norm penalty on the gate's standardised weights."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Tune the prompts on the images of all domains, then fit the gate if it is on."""
        model = problem.classifier()
        depth = min(self.prompt_depth, model.image_depth)
        model.add("prompts", VisualPrompts(self.prompt_length, depth, model.image_width))

        def loss(batch: Batch) -> Losses:
            return {"cross_entropy": F.cross_entropy(model.logits(batch.images).float(), batch.labels)}

        fit(problem, model, loss, epochs=self.epochs, lr=self.lr, crop=self.crop)
        if self.gate:
            add_domain_gate(problem, model, answer="uniform", weight_decay=self.gate_weight_decay)
        return model
