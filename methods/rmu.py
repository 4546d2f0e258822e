"""RMU (Li et al. 2024): steer the block features of forget images towards a random vector."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from adu_bench.api import Batch, Card, Classifier, Losses, Problem

from ._trained import Loss, Trained, group_mean


@dataclass(frozen=True, kw_only=True)
class Rmu(Trained):
    """Move a block's outputs for forget images to one random direction, and keep those of retain images."""

    card = Card(
        name="rmu",
        group="weights",
        title="The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning",
        authors="Li et al.",
        year=2024,
        paper="arXiv:2403.03218",
        licence="own implementation, MIT; the code of open-unlearning is MIT",
        notes=(
            "Made for language models. The images of forget domains are the forget set, and tokens are the class "
            "token and the patches. Trained: the block and the two before it, as in the original (layers 5 to 7 of "
            "its models, there only their last MLP matrix; open-unlearning trains all weights). The steering "
            "coefficient (2 in open-unlearning, to be tuned carefully) multiplies the mean norm of the block's "
            "tokens, and squared errors are divided by that norm's square over the width, since norms of vision and "
            "language models differ. The block is a middle one: the original's is not comparable. AdamW there with "
            "lr 1e-5 to 1e-4; SGD with momentum 0.9 here."
        ),
    )

    # coefficient: around open-unlearning's 2.  lr: no source for CLIP.
    ranges = {"lr": (1e-4, 1e-1), "coefficient": (0.3, 10.0), "alpha": (0.1, 100.0)}
    bounds = {"block": ">= 0, <= 56", "coefficient": ">= 0", "alpha": ">= 0"}

    epochs: int = 10
    """Passes over the few-shot images."""
    lr: float = 1e-2
    """Peak learning rate of SGD."""
    block: int = 0
    """The block (from 1) whose outputs are steered; 0 is the middle one."""
    coefficient: float = 2.0
    """Length of the random vector, in units of the tokens' mean norm."""
    alpha: float = 1.0
    """Weight of the retain images' term."""

    def prepare(self, problem: Problem, model: Classifier) -> None:
        """Unfreeze the block and the two before it."""
        last = self._block(model)
        model.unfreeze(*(f"visual.transformer.resblocks.{i}.*" for i in range(max(0, last - 2), last + 1)))

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the errors of both groups."""
        frozen, block = problem.classifier().eval(), self._block(model)
        direction = torch.rand(model.image_width, generator=problem.rng).to(problem.device, non_blocking=True)
        direction = F.normalize(direction, dim=0)

        def terms(batch: Batch) -> Losses:
            tokens = model.block_features(batch.images, block).float()
            with torch.no_grad():
                before = frozen.block_features(batch.images, block).float()
                norm = before.norm(dim=-1).mean()
            scale = norm.square()
            steered = (tokens - self.coefficient * norm * direction).square().sum(dim=-1).mean(dim=1) / scale
            kept = (tokens - before).square().sum(dim=-1).mean(dim=1) / scale
            return {
                "forget": group_mean(steered, batch.forget),
                "retain": self.alpha * group_mean(kept, ~batch.forget),
            }

        return terms

    def _block(self, model: Classifier) -> int:
        """Return the index of the block, from 0."""
        depth = model.image_depth
        return min(self.block, depth) - 1 if self.block else depth // 2
