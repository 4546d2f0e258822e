"""MaPLe (Khattak et al. 2023): deep text prompts, and image prompts that are linear functions of them."""

from dataclasses import dataclass

from torch import Tensor, nn

from adu_bench.api import Card, Classifier, Problem

from ._contexts import TemplateContexts
from ._trained import Trained


@dataclass(frozen=True, kw_only=True)
class MaPLe(Trained):
    """Learn text context in several blocks, and linear maps from it to image prompts."""

    card = Card(
        name="maple",
        group="tuning",
        title="MaPLe: Multi-modal Prompt Learning",
        authors="Khattak et al.",
        year=2023,
        paper="arXiv:2210.03117",
        licence="own implementation, MIT; the official code is MIT",
        notes=(
            "The few-shot cross-entropy is replaced by L_memorize + L_forget. Trained: 2 context tokens in each of 9 "
            "text blocks and one linear map per block to 2 image prompts. The first context takes the place of the "
            "template's first words and starts from them, as in the official code (SGD, lr 0.0035, batch 4, 5 epochs, "
            "fp16). Here batches and precision are the suite's, the default is 50 epochs, and the depth is at most "
            "that of both towers."
        ),
    )

    # No source; the same as adu's.
    ranges = {"lr": (1e-3, 3e-1)}
    bounds = {"prompt_length": ">= 1, <= 16", "prompt_depth": ">= 1, <= 56"}

    lr: float = 3.5e-3
    """Peak learning rate of SGD."""
    prompt_length: int = 2
    """Tokens per block."""
    prompt_depth: int = 9
    """Number of leading blocks with their own tokens, at most the depth of either tower."""

    def prepare(self, problem: Problem, model: Classifier) -> None:
        """Add the coupled prompts."""
        model.require_image_hooks("MaPLe")
        depth = min(self.prompt_depth, model.image_depth, model.text_depth)
        model.add("prompts", CoupledPrompts(self.prompt_length, depth, model.text_width, model.image_width))


class CoupledPrompts(TemplateContexts):
    """Text context in several blocks, and image prompts that are linear in it.

    Parameters
    ----------
    length, depth
        Tokens per block, and number of blocks.
    width, image_width
        Widths of the text tower and of the image tower.
    """

    def __init__(self, length: int, depth: int, width: int, image_width: int) -> None:
        super().__init__(length, depth, width)
        self.couple = nn.ModuleList(nn.Linear(width, image_width) for _ in range(depth))

    def image_prompts(self, index: int) -> Tensor | None:
        """Return the block's image prompts (length, image width); None after the last prompted block."""
        return self.couple[index](self.tokens[index]) if index < self.depth else None
