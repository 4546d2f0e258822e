"""Low-rank updates of attention weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adu_bench.clip.part import Host, Part


class LowRank(Part):
    """Low-rank updates W + (alpha / rank) B A of query, key and value projections (LoRA, Hu et al. 2022).

    Parameters
    ----------
    rank
        Rank of each update.
    alpha
        Scale of the updates.
    vision, text
        Whether the image tower and the text tower receive updates.
    """

    def __init__(self, rank: int = 2, alpha: float = 1.0, vision: bool = True, text: bool = True) -> None:
        super().__init__()
        self.rank, self.scale, self.vision, self.text = rank, alpha / rank, vision, text
        self.updates = nn.ModuleDict()

    def updated_towers(self) -> tuple[str, ...]:
        """Return the towers that receive updates."""
        return ("visual",) * self.vision + ("text",) * self.text

    def attach(self, classifier: Host) -> None:
        """Register an update for the fused query-key-value weight of every block of the chosen towers."""
        towers = [("visual", classifier.model.visual)] if self.vision else []
        towers += [("text", classifier.text_tower)] if self.text else []
        for tower_name, tower in towers:
            for index, block in enumerate(tower.transformer.resblocks):
                weight = block.attn.in_proj_weight
                update = _LowRankUpdate(weight.shape[1], self.rank, self.scale).to(weight.device)
                self.updates[f"{tower_name}_{index}"] = update
                # A tuple, because as a plain attribute the owner would become a submodule of its child.
                update.owner = (self,)
                nn.utils.parametrize.register_parametrization(block.attn, "in_proj_weight", update, unsafe=True)


class _LowRankUpdate(nn.Module):
    def __init__(self, width: int, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Parameter(torch.randn(3, rank, width) / width**0.5)
        self.up = nn.Parameter(torch.zeros(3, width, rank))
        self.owner: tuple[Part, ...] = ()

    def forward(self, weight: Tensor) -> Tensor:
        if not self.owner[0].enabled:
            return weight
        return weight + self.scale * torch.bmm(self.up, self.down).flatten(0, 1).to(weight.dtype)
