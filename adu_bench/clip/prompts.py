"""Learned tokens: deep visual prompts, prompts generated from the image, and text context."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adu_bench.clip.blocks import attend_absorbed
from adu_bench.clip.part import Host, Part


class VisualPrompts(Part):
    """Deep visual prompts: learned tokens at the end of the image sequence of the first ``depth`` blocks.

    The first block's prompts pass through the first LayerNorm with the image tokens.  Every further prompted block
    replaces the outputs of the previous prompts by its own prompts.  The blocks after the last prompted one process the
    prompts that leave it.  This follows the released ADU code (VPT-deep, Jia et al. 2022).

    Parameters
    ----------
    length
        Tokens per block.
    depth
        Number of prompted blocks, 1 to the tower's depth.
    width
        Token width.
    """

    def __init__(self, length: int, depth: int, width: int) -> None:
        super().__init__()
        self.length, self.depth = length, depth
        self.tokens = nn.Parameter(torch.randn(depth, length, width) * 0.02)

    def attach(self, classifier: Host) -> None:
        """Check that the tower supports prompts, and that no other part provides any."""
        classifier.require_image_hooks("Visual prompts")
        if any(isinstance(part, VisualPrompts) for part in classifier.parts.values()):
            raise ValueError("The classifier already has visual prompts; put all prompts into one part.")

    def image_prompts(self, index: int) -> Tensor | None:
        """Return the block's prompts (length, width); None after the last prompted block."""
        return self.tokens[index] if index < self.depth else None


class InstaPG(Part):
    """Instance-wise prompt generator: prompts of one block attend to the image's patches and are replaced.

    The queries are the block's learned prompts; the keys and values are the patch tokens that enter the block (no class
    token, no earlier prompts).  ``separate_norms`` and ``feed_forward`` give the form of the released code (pre-norms
    for query and for key/value, residual onto the normalised query, then LayerNorm and a 4x feed-forward with
    residual).  Without them the part is the scaled-dot-product attention with a residual of the paper's figure.

    Parameters
    ----------
    length
        Prompts per block, as in `VisualPrompts`, which must be added first.
    block
        Index of the block (from 0) whose prompts are replaced.
    width
        Token width.
    heads
        Attention heads.
    separate_norms, feed_forward
        Details of the released code, see above.
    """

    def __init__(
        self, length: int, block: int, width: int, heads: int, separate_norms: bool = True, feed_forward: bool = True
    ) -> None:
        super().__init__()
        self.length, self.block = length, block
        self.norm_query = nn.LayerNorm(width)
        self.norm_patches = nn.LayerNorm(width) if separate_norms else self.norm_query
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed_forward = (
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), QuickGELU(), nn.Linear(4 * width, width))
            if feed_forward
            else None
        )

    def attach(self, classifier: Host) -> None:
        """Check that the tower supports prompts and that there are prompts to replace."""
        classifier.require_image_hooks("InstaPG")
        if not any(isinstance(part, VisualPrompts) for part in classifier.parts.values()):
            raise ValueError("InstaPG replaces visual prompts: add VisualPrompts first.")

    def adapt_prompts(self, index: int, tokens: Tensor, prompts: Tensor) -> Tensor:
        """Replace the prompts of block ``self.block`` by prompts (N, P, width) that depend on the image."""
        if index != self.block:
            return prompts
        query = self.norm_query(prompts)
        made = query + self._attend(query, self.norm_patches(tokens[:, 1:]))
        return made + self.feed_forward(made) if self.feed_forward is not None else made

    def _attend(self, query: Tensor, patches: Tensor) -> Tensor:
        """Compute the attention of queries (P, width) or (N, P, width) to patches (N, L, width): (N, P, width)."""
        attention = self.attention
        width = attention.embed_dim
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        queries = F.linear(query, weight[:width], bias[:width]).unflatten(-1, (attention.num_heads, -1))
        queries = queries.transpose(-2, -3) if queries.dim() == 4 else queries.transpose(0, 1)[None]
        _, attended = attend_absorbed(queries, patches, weight[width:], bias[width:])
        return attention.out_proj(attended.view(len(patches), -1, width))


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the activation of OpenAI's CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply elementwise to a tensor of any shape."""
        return x * torch.sigmoid(1.702 * x)


class TextPrompts(Part):
    """Learned context tokens of the class prompts: after the start token, in the first ``depth`` text blocks.

    Parameters
    ----------
    length
        Context tokens.
    depth
        Number of text blocks with their own tokens; 1 changes the input only (CoOp, Zhou et al. 2022).
    width
        Width of the text tower.
    """

    texts_alike = True

    def __init__(self, length: int, depth: int, width: int) -> None:
        super().__init__()
        self.length, self.depth = length, depth
        self.tokens = nn.Parameter(torch.randn(depth, length, width) * 0.02)

    def attach(self, classifier: Host) -> None:
        """Check that the text tower supports learned tokens."""
        classifier.require_text_hooks("Learned text context")

    def text_tokens(self, tokens: Tensor) -> Tensor:
        """Make room for the context after the start token.

        Raises
        ------
        ValueError
            If a class prompt would no longer fit into the text tower's context.
        """
        if bool((tokens[:, -self.length :] != 0).any()):
            raise ValueError(f"A class prompt and {self.length} context tokens exceed {tokens.shape[1]} text tokens.")
        filler = tokens.new_ones(len(tokens), self.length)
        return torch.cat([tokens[:, :1], filler, tokens[:, 1 : -self.length]], dim=1)

    def text_embeddings(self, embeddings: Tensor) -> Tensor:
        """Put the first context at positions 1 to ``length``."""
        return self._replace(embeddings, 0)

    def before_text_block(self, index: int, tokens: Tensor) -> Tensor:
        """Replace the outputs of the previous block's context by a deeper block's own context."""
        return self._replace(tokens, index) if 0 < index < self.depth else tokens

    def _replace(self, tokens: Tensor, index: int) -> Tensor:
        context = self.tokens[index].to(tokens.dtype).expand(len(tokens), -1, -1)
        return torch.cat([tokens[:, :1], context, tokens[:, 1 + self.length :]], dim=1)
