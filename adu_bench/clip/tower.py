"""The towers of a CLIP model, without computations whose results are not used.

If the next block has its own prompts, the outputs of a block's prompts are not used, so these prompts are keys and
values only.  The last block of a tower that pools one token is computed for that token only.  A causal text tower does
not process positions after the end of the longest text.  All of this is exact: results equal those of open_clip's
forward pass up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import open_clip.transformer
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakTensorKeyDictionary


class Hooks(Protocol):
    """The hooks of parts that the towers call; `adu_bench.clip.part.Part` documents arguments and results."""

    def before_block(self, index: int, tokens: Tensor) -> Tensor:
        """Change the tokens before an image block."""

    def image_prompts(self, index: int) -> Tensor | None:
        """Return prompts for an image block."""

    def adapt_prompts(self, index: int, tokens: Tensor, prompts: Tensor) -> Tensor:
        """Change the prompts of an image block."""

    def text_embeddings(self, embeddings: Tensor) -> Tensor:
        """Change the embedded class prompts."""

    def before_text_block(self, index: int, tokens: Tensor) -> Tensor:
        """Change the tokens before a text block."""


class ImageTower:
    """A vision transformer of open_clip that pools the class token.

    Parameters
    ----------
    visual
        The tower's module, for which `runs` is true.
    """

    def __init__(self, visual: Any) -> None:
        self.visual = visual

    @staticmethod
    def runs(visual: Any) -> bool:
        """Return whether this class can run a tower: standard blocks, and pooling by the class token."""
        return (
            type(visual) is open_clip.transformer.VisionTransformer
            and visual.attn_pool is None
            and visual.pool_type == "tok"
            and _standard(visual.transformer)
        )

    @property
    def blocks(self) -> Sequence[Any]:
        """The transformer's blocks."""
        return self.visual.transformer.resblocks

    def encode(self, images: Tensor, parts: Sequence[Hooks] = ()) -> Tensor:
        """Encode normalised images (N, 3, S, S) to features (N, D), which are not scaled to unit length."""
        visual, last = self.visual, len(self.blocks) - 1
        tokens, prompts = self._entering(images, parts, last)
        pooled = visual.ln_post(run_block_for_one(self.blocks[last], tokens[:, 0], tokens, prompts))
        return pooled @ lowered(visual.proj) if visual.proj is not None else pooled

    def tokens_after(self, images: Tensor, index: int, parts: Sequence[Hooks] = ()) -> Tensor:
        """Return the output tokens of block ``index`` (from 0), without prompts: (N, 1 + patches, width).

        Raises
        ------
        IndexError
            If the tower has no such block.
        """
        index = range(len(self.blocks))[index]
        return run_block(self.blocks[index], *self._entering(images, parts, index))

    def class_attention(self, images: Tensor, parts: Sequence[Hooks] = ()) -> Tensor:
        """Return the attention of the class token in the last block, averaged over heads.

        Returns
        -------
        Tensor
            (N, L), float32, rows that sum to one: the class token itself, the patches, then prompts if there are any.
        """
        last = len(self.blocks) - 1
        tokens, prompts = self._entering(images, parts, last)
        weights, _ = attend_for_one(self.blocks[last], tokens[:, 0], tokens, prompts)
        return weights.float().mean(dim=1)

    def _entering(self, images: Tensor, parts: Sequence[Hooks], index: int) -> tuple[Tensor, Tensor | None]:
        """Return the tokens (N, 1 + patches, width) and the prompts that enter a block."""
        given = [_first(part.image_prompts(place) for part in parts) for place in range(index + 1)]
        tokens, prompts = self._embedded(images), None
        for place in range(index + 1):
            for part in parts:
                tokens = part.before_block(place, tokens)
            if (fresh := given[place]) is not None:
                # The first block's prompts pass through the first LayerNorm, as the image's tokens do.
                prompts = self.visual.ln_pre(fresh) if place == 0 else fresh
            if prompts is not None:
                for part in parts:
                    prompts = part.adapt_prompts(place, tokens, prompts)
            if place < index:
                tokens, prompts = self._through(place, tokens, prompts, replaced=given[place + 1] is not None)
        return tokens, prompts

    def _through(
        self, index: int, tokens: Tensor, prompts: Tensor | None, replaced: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Run a block that is not the last one; return its prompts only if the next block does not replace them."""
        block = self.blocks[index]
        if prompts is None or replaced:
            return run_block(block, tokens, prompts), None
        count = tokens.shape[1]
        whole = torch.cat([tokens, _per_image(prompts, len(tokens)).to(tokens.dtype)], dim=1)
        whole = run_block(block, whole)
        return whole[:, :count], whole[:, count:]

    def _embedded(self, images: Tensor) -> Tensor:
        visual = self.visual
        patches = visual.conv1(images).flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches], dim=1) + visual.positional_embedding.to(patches.dtype)
        return visual.ln_pre(tokens)


@dataclass(frozen=True)
class Texts:
    """Token ids of texts, prepared for `TextTower`.

    Parameters
    ----------
    ids
        int64, (C, T), on the model's device, cut after the last position that is used.
    read
        The position of the pooled token of each text, int64, (C,), on the model's device.
    """

    ids: Tensor
    read: Tensor


class TextTower:
    """A text transformer of open_clip.

    Parameters
    ----------
    model
        The open_clip model, for which `runs` is true.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.tower = getattr(model, "text", model)

    @staticmethod
    def runs(model: Any) -> bool:
        """Return whether this class can run a model's text tower: standard blocks, and one pooled token."""
        tower = getattr(model, "text", model)
        return (
            type(tower) in (open_clip.transformer.TextTransformer, open_clip.CLIP)
            and getattr(tower, "cls_emb", None) is None
            and not getattr(tower, "use_pad_mask", False)
            and _pool(tower) in ("argmax", "eos", "last", "first")
            and _standard(tower.transformer)
        )

    def prepare(self, tokens: Tensor, device: torch.device) -> Texts:
        """Find the pooled positions of texts, and copy the texts to the model's device.

        Parameters
        ----------
        tokens
            Token ids, int64, (C, L), on the CPU.
        device
            Device of the model.
        """
        kind, length = _pool(self.tower), tokens.shape[1]
        if kind == "argmax":
            read = tokens.argmax(dim=-1)
        elif kind == "eos":
            read = (tokens == _end_of_text(self.tower)).int().argmax(dim=-1)
        else:
            read = torch.full((len(tokens),), length - 1 if kind == "last" else 0)
        if self.tower.attn_mask is not None:
            tokens = tokens[:, : int(read.max()) + 1]
        return Texts(tokens.to(device), read.to(device))

    def encode(self, texts: Texts, parts: Sequence[Hooks] = ()) -> Tensor:
        """Encode texts to features (C, D), which are not scaled to unit length."""
        tower = self.tower
        causal = tower.attn_mask is not None
        tokens = tower.token_embedding(texts.ids)
        for part in parts:
            tokens = part.text_embeddings(tokens)
        tokens = tokens + tower.positional_embedding[: tokens.shape[1]]
        *blocks, last = tower.transformer.resblocks
        for index, block in enumerate(blocks):
            tokens = _before(parts, index, tokens)
            tokens = run_block(block, tokens, causal=causal)
        tokens = _before(parts, len(blocks), tokens)
        chosen = tokens.gather(1, texts.read[:, None, None].expand(-1, 1, tokens.shape[2]))[:, 0]
        seen = torch.arange(tokens.shape[1], device=tokens.device) <= texts.read[:, None] if causal else None
        pooled = tower.ln_final(run_block_for_one(last, chosen, tokens, mask=seen))
        if isinstance(tower.text_projection, nn.Linear):
            return tower.text_projection(pooled)
        return pooled @ lowered(tower.text_projection) if tower.text_projection is not None else pooled


def run_block(block: Any, tokens: Tensor, prompts: Tensor | None = None, causal: bool = False) -> Tensor:
    """Run a residual attention block for all tokens; return their outputs, (N, L, width).

    Parameters
    ----------
    block
        A block of open_clip.
    tokens
        (N, L, width).
    prompts
        Additional keys and values, whose outputs are not used: (P, width) for all images, or (N, P, width).
    causal
        Whether each token attends only to itself and earlier tokens.
    """
    attention = block.attn
    width = attention.embed_dim
    # Read once: with a low-rank update every access computes the weight again.
    weight, bias = lowered(attention.in_proj_weight), lowered(attention.in_proj_bias)
    queries, both = F.linear(block.ln_1(tokens), weight, bias).split([width, 2 * width], dim=-1)
    if prompts is not None:
        # Prompts that all images share are projected once.
        own = F.linear(block.ln_1(prompts), weight[width:], bias[width:])
        both = torch.cat([both, _per_image(own, len(both)).to(both.dtype)], dim=1)
    queries, keys, values = (_split(part, attention.num_heads) for part in (queries, *both.chunk(2, dim=-1)))
    attended = F.scaled_dot_product_attention(queries, keys, values, is_causal=causal)
    return _finished(block, tokens, attended.transpose(1, 2).flatten(2))


def run_block_for_one(
    block: Any, token: Tensor, tokens: Tensor, prompts: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """Run a residual attention block for one token of each sequence; arguments as in `attend_for_one`."""
    return _finished(block, token, attend_for_one(block, token, tokens, prompts, mask)[1])


def attend_for_one(
    block: Any, token: Tensor, tokens: Tensor, prompts: Tensor | None = None, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute the attention of one token of each sequence to all tokens.

    With a single query, key and value projections of all tokens need not be computed: the key projection is applied to
    the query instead, and the value projection to the weighted mean of the tokens.

    Parameters
    ----------
    block
        A block of open_clip.
    token
        The tokens whose attention is computed, (N, width).
    tokens
        The tokens that they attend to, (N, L, width).
    prompts
        Additional keys and values: (P, width) for all sequences, or (N, P, width).
    mask
        Which tokens may be attended to, bool (N, L); None for all.

    Returns
    -------
    weights
        (N, heads, L + P), rows that sum to one.
    attended
        The result before the output projection, (N, width).
    """
    attention = block.attn
    width, heads = attention.embed_dim, attention.num_heads
    weight, bias = lowered(attention.in_proj_weight), lowered(attention.in_proj_bias)
    query = F.linear(block.ln_1(token), weight[:width], bias[:width]).unflatten(-1, (heads, -1))
    seen = block.ln_1(tokens)
    if prompts is not None:
        seen = torch.cat([seen, _per_image(block.ln_1(prompts), len(seen)).to(seen.dtype)], dim=1)
    return attend_absorbed(query.unsqueeze(2), seen, weight[width:], bias[width:], mask)


def attend_absorbed(
    queries: Tensor, tokens: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute multi-head attention of a few queries without projecting the tokens.

    Parameters
    ----------
    queries
        Projected, (N or 1, heads, Q, d).
    tokens
        Normalised, (N, L, width).
    weight, bias
        Key and value projection, (2 width, width) and (2 width,).  The keys' bias adds the same to all scores of a
        query, so that it has no effect.
    mask
        As in `attend_for_one`.

    Returns
    -------
    weights
        (N, heads Q, L) in the order head, query.
    attended
        (N, Q, width), without the dimension Q where Q is 1.
    """
    _, heads, count, size = queries.shape
    width = weight.shape[1]
    keys, values = weight.unflatten(0, (2, heads, size))
    absorbed = (queries * size**-0.5) @ keys
    absorbed = absorbed.flatten(1, 2)
    shared = len(absorbed) == 1  # queries that all sequences share make one large product
    scores = F.linear(tokens, absorbed[0]).transpose(1, 2) if shared else absorbed @ tokens.transpose(1, 2)
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None], -torch.inf)
    weights = scores.softmax(dim=-1)
    means = (weights.to(tokens.dtype) @ tokens).unflatten(1, (heads, count))
    attended = means @ values.transpose(1, 2) + bias[width:].view(heads, 1, size)
    attended = attended.transpose(1, 2).flatten(2)
    return weights, attended[:, 0] if count == 1 else attended


_LOWERED = WeakTensorKeyDictionary()


def lowered(parameter: Tensor) -> Tensor:
    """Return a frozen parameter in autocast's precision, converted once instead of at every use.

    Parameters that require a gradient, and everything outside autocast, are returned as they are.
    """
    kind = parameter.device.type
    if parameter.requires_grad or not isinstance(parameter, nn.Parameter) or not torch.is_autocast_enabled(kind):
        return parameter
    dtype = torch.get_autocast_dtype(kind)
    found = _LOWERED.get(parameter)
    if found is None or found[0] != parameter._version or found[1].dtype != dtype:
        # A copy that is created in inference mode could not be used in training later.
        with torch.inference_mode(False):
            found = (parameter._version, parameter.detach().to(dtype))
        _LOWERED[parameter] = found
    return found[1]


def _linear(tokens: Tensor, layer: Any) -> Tensor:
    return F.linear(tokens, lowered(layer.weight), lowered(layer.bias) if layer.bias is not None else None)


def _finished(block: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """Add attention (..., width) and the feed-forward layer to the tokens (..., width)."""
    tokens = tokens + block.ls_1(_linear(attended, block.attn.out_proj))
    hidden = block.mlp.gelu(_linear(block.ln_2(tokens), block.mlp.c_fc))
    return tokens + block.ls_2(_linear(hidden, block.mlp.c_proj))


def _split(tokens: Tensor, heads: int) -> Tensor:
    """Turn (N, L, width) into (N, heads, L, width / heads)."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def _per_image(prompts: Tensor, count: int) -> Tensor:
    return prompts.expand(count, -1, -1)


def _before(parts: Sequence[Hooks], index: int, tokens: Tensor) -> Tensor:
    for part in parts:
        tokens = part.before_text_block(index, tokens)
    return tokens


def _first(found: Any) -> Tensor | None:
    return next((prompts for prompts in found if prompts is not None), None)


def _standard(transformer: Any) -> bool:
    """Return whether all blocks are open_clip's standard blocks, whose weights this module reads."""
    return all(
        type(block) is open_clip.transformer.ResidualAttentionBlock
        and not hasattr(block, "ln_1_kv")
        and isinstance(block.attn, nn.MultiheadAttention)
        and block.attn.in_proj_weight is not None
        and block.attn.in_proj_bias is not None
        for block in transformer.resblocks
    )


def _pool(tower: Any) -> str:
    return str(getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", ""))


def _end_of_text(tower: Any) -> int:
    return int(tower.text_eos_id if hasattr(tower, "text_eos_id") else tower.eos_id)
