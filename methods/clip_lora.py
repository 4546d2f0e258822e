"""CLIP-LoRA (Zanella and Ben Ayed 2024): low-rank updates of attention in both towers."""

from dataclasses import dataclass

from torch import nn

from adu_bench.api import Card, Classifier, LowRank, Problem

from ._trained import Trained


@dataclass(frozen=True, kw_only=True)
class ClipLora(Trained):
    """Learn low-rank updates of the query, key and value projections of all blocks of both towers."""

    card = Card(
        name="clip-lora",
        group="tuning",
        title="Low-Rank Few-Shot Adaptation of Vision-Language Models",
        authors="Zanella and Ben Ayed",
        year=2024,
        paper="arXiv:2405.18541",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "The few-shot cross-entropy is replaced by L_memorize + L_forget. Rank 2, AdamW with lr 2e-4 and weight "
            "decay 0.01, as in the official code, which runs 500 iterations of 32 images per shot; 62 epochs are as "
            "many with 8 shots on Office-Home. Its dropout of 0.25 on the input of the updates is left out, and the "
            "cosine has the project's warm-up epoch and ends at zero (1e-6 there). Updates are scaled by alpha over "
            "the rank's root, alpha 1, as there."
        ),
    )
    optimiser = "adamw"
    weight_decay = 1e-2

    # No source: a factor of about thirty around the official 2e-4 and ranks of the paper's study.
    ranges = {"lr": (1e-4, 1e-2), "rank": [2, 4, 8]}
    bounds = {"rank": ">= 1, <= 64", "alpha": "> 0"}

    epochs: int = 62
    """Passes over the few-shot images."""
    lr: float = 2e-4
    """Peak learning rate of AdamW."""
    rank: int = 2
    """Rank of the updates."""
    alpha: float = 1.0
    """Scale of the updates, which are multiplied by alpha over the root of the rank."""

    def prepare(self, problem: Problem, model: Classifier) -> None:
        """Add the updates, scaled and started as in the official code."""
        # `LowRank` divides by the rank itself.
        part = model.add("updates", LowRank(self.rank, self.alpha * self.rank**0.5))
        for update in part.updates.values():
            bound = update.down.shape[-1] ** -0.5
            nn.init.uniform_(update.down, -bound, bound)
