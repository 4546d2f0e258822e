"""The ADU paper's baseline: prompts are tuned to keep the retain domains and to be uncertain on the forget domains."""

from dataclasses import dataclass

from adu_bench.api import (
    Batch,
    Card,
    Classifier,
    Losses,
    Method,
    Problem,
    VisualPrompts,
    fit,
    memorize,
    uniform_ce,
)


@dataclass(frozen=True, kw_only=True)
class Baseline(Method):
    """Tune deep visual prompts with cross-entropy on retain domains and towards uniform answers on forget domains."""

    card = Card(
        name="baseline",
        group="paper",
        title="Approximate Domain Unlearning for Vision-Language Models (baseline)",
        authors="Kawamura et al.",
        year=2025,
        paper="arXiv:2510.08132",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "L_memorize + L_forget on visual prompts alone. Defaults: 8 prompts in 9 blocks, lr 0.0025 and 50 epochs, "
            "as the released code has them for ADU."
        ),
    )

    # No source; the same as adu's.
    ranges = {"lr": (1e-3, 3e-1)}
    bounds = {
        "epochs": ">= 1",
        "lr": "> 0",
        "prompt_length": ">= 1",
        "prompt_depth": ">= 1, <= 56",
        "crop": "> 0, <= 1",
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

    def unlearn(self, problem: Problem) -> Classifier:
        """Tune the prompts with the two losses."""
        model = problem.classifier()
        depth = min(self.prompt_depth, model.image_depth)
        model.add("prompts", VisualPrompts(self.prompt_length, depth, model.image_width))

        def loss(batch: Batch) -> Losses:
            logits = model.logits(batch.images)
            return {
                "memorize": memorize(logits, batch.labels, batch.forget),
                "forget": uniform_ce(logits, batch.forget),
            }

        return fit(problem, model, loss, epochs=self.epochs, lr=self.lr, crop=self.crop)
