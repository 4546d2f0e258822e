"""open_clip's own blocks with prompts inserted by hooks: the reference for the speed and the results of the harness."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def reference_prompts(visual: Any, length: int, depth: int) -> list[nn.Parameter]:
    """Return trainable prompts (length, width) for at most ``depth`` leading blocks of an image tower."""
    blocks, weight = visual.transformer.resblocks, visual.conv1.weight
    shape = (length, weight.shape[0])
    return [nn.Parameter(torch.randn(shape, device=weight.device) * 0.02) for _ in range(min(depth, len(blocks)))]


def encode_with_blocks(visual: nn.Module, images: Tensor, prompts: list[nn.Parameter]) -> Tensor:
    """Encode normalised images (N, 3, S, S) by open_clip's own blocks: (N, D).

    Parameters
    ----------
    visual
        open_clip's vision transformer with a class token.
    images
        See above.
    prompts
        Prompts (P, width) of the first blocks; each block's prompts come after the patches and replace earlier ones.
    """

    def appended(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        own = places[module]
        tokens = inputs[0][:, :patches]
        return (torch.cat([tokens, prompts[own].expand(len(tokens), -1, -1)], dim=1), *inputs[1:])

    modules = [visual.ln_pre, *visual.transformer.resblocks[1:]][: len(prompts)]  # type: ignore[union-attr, index]
    places = {module: number for number, module in enumerate(modules)}
    patches = visual.positional_embedding.shape[0]  # type: ignore[union-attr, index]
    handles = [module.register_forward_pre_hook(appended) for module in modules]
    try:
        return visual(images)
    finally:
        for handle in handles:
            handle.remove()
