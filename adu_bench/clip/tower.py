"""The towers of a CLIP model, run without the parts of the computation whose results nothing reads.

A block whose successor receives prompts of its own drops the outputs of its prompts, so prompts enter it as keys and
values only.  The last block of a tower that reads one token computes queries, projections and feed-forward layer for
that token only.  A causal text tower never reads behind the end of the longest text.  All of this is exact: results
equal those of open_clip's own forward pass up to rounding.
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
    """What the towers ask of a part; `adu_bench.clip.part.Part` says what the methods are given and return."""

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
    """A vision transformer of open_clip that reads its answer from the class token.

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
        (token,) = run_block(self.blocks[last], tokens, prompts, read=1).unbind(1)
        pooled = visual.ln_post(token)
        return pooled @ lowered(visual.proj) if visual.proj is not None else pooled

    def tokens_after(self, images: Tensor, index: int, parts: Sequence[Hooks] = ()) -> Tensor:
        """Return all tokens that leave block ``index`` (from 0), without prompts: (N, 1 + patches, width).

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
        block = self.blocks[last]
        queries, keys, _ = _projected(block, tokens, prompts, read=1)
        scores = queries.float() @ keys.float().transpose(-1, -2) / queries.shape[-1] ** 0.5
        return scores.softmax(dim=-1).mean(dim=1)[:, 0]

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
        """Run a block that is not the last one; prompts come out of it only where no new ones replace them."""
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
    """Token ids of some texts, prepared for `TextTower`.

    Parameters
    ----------
    ids
        int64, (C, T), on the model's device, cut behind the last position that is read.
    read
        The position of each text that holds its feature, int64, (C,), on the model's device.
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
        """Return whether this class can run a model's text tower: standard blocks, and one token that is read."""
        tower = getattr(model, "text", model)
        return (
            type(tower) in (open_clip.transformer.TextTransformer, open_clip.CLIP)
            and getattr(tower, "cls_emb", None) is None
            and not getattr(tower, "use_pad_mask", False)
            and _pool(tower) in ("argmax", "eos", "last", "first")
            and _standard(tower.transformer)
        )

    def prepare(self, tokens: Tensor, device: torch.device) -> Texts:
        """Find what is read of some texts.

        Parameters
        ----------
        tokens
            Token ids, int64, (C, L), on the CPU.
        device
            Where the model is.
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
        pooled = tower.ln_final(_run_for_one(last, tokens, texts.read, causal))
        if isinstance(tower.text_projection, nn.Linear):
            return tower.text_projection(pooled)
        return pooled @ lowered(tower.text_projection) if tower.text_projection is not None else pooled


def run_block(
    block: Any, tokens: Tensor, prompts: Tensor | None = None, read: int | None = None, causal: bool = False
) -> Tensor:
    """Run a residual attention block.

    Parameters
    ----------
    block
        A block of open_clip.
    tokens
        (N, L, width).
    prompts
        Further keys and values, whose own outputs nothing reads: (P, width) for all images, or (N, P, width).
    read
        Compute the outputs of this many leading tokens; None for all.
    causal
        Let each token attend to itself and earlier ones only.

    Returns
    -------
    Tensor
        (N, L or ``read``, width).
    """
    queries, keys, values = _projected(block, tokens, prompts, read)
    attended = F.scaled_dot_product_attention(queries, keys, values, is_causal=causal)
    return _finished(block, tokens if read is None else tokens[:, :read], attended)


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
        # Made in inference mode, the copy could not take part in training later.
        with torch.inference_mode(False):
            found = (parameter._version, parameter.detach().to(dtype))
        _LOWERED[parameter] = found
    return found[1]


def _linear(tokens: Tensor, layer: Any) -> Tensor:
    return F.linear(tokens, lowered(layer.weight), lowered(layer.bias) if layer.bias is not None else None)


def _projected(
    block: Any, tokens: Tensor, prompts: Tensor | None, read: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries (N, heads, read, d), keys and values (N, heads, L + P, d)."""
    attention = block.attn
    width = attention.embed_dim
    # Read once: a low-rank update computes the weight anew at every access.
    weight, bias = lowered(attention.in_proj_weight), lowered(attention.in_proj_bias)
    normed = block.ln_1(tokens)
    if read is None:
        queries, both = F.linear(normed, weight, bias).split([width, 2 * width], dim=-1)
    else:
        queries = F.linear(normed[:, :read], weight[:width], bias[:width])
        both = F.linear(normed, weight[width:], bias[width:])
    if prompts is not None:
        # Prompts that all images share are projected once.
        own = F.linear(block.ln_1(prompts), weight[width:], bias[width:])
        both = torch.cat([both, _per_image(own, len(both)).to(both.dtype)], dim=1)
    keys, values = both.chunk(2, dim=-1)
    return tuple(_split(part, attention.num_heads) for part in (queries, keys, values))  # type: ignore[return-value]


def _finished(block: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """Add attention (N, heads, L, d) and the feed-forward layer to the tokens (N, L, width)."""
    tokens = tokens + block.ls_1(_linear(attended.transpose(1, 2).flatten(2), block.attn.out_proj))
    hidden = block.mlp.gelu(_linear(block.ln_2(tokens), block.mlp.c_fc))
    return tokens + block.ls_2(_linear(hidden, block.mlp.c_proj))


def _run_for_one(block: Any, tokens: Tensor, read: Tensor, causal: bool) -> Tensor:
    """Run a block for one token of each text: its outputs (C, width)."""
    places = read[:, None]
    chosen = tokens.gather(1, places[..., None].expand(-1, 1, tokens.shape[2]))
    attention = block.attn
    width = attention.embed_dim
    weight, bias = lowered(attention.in_proj_weight), lowered(attention.in_proj_bias)
    queries = F.linear(block.ln_1(chosen), weight[:width], bias[:width])
    keys, values = F.linear(block.ln_1(tokens), weight[width:], bias[width:]).chunk(2, dim=-1)
    queries, keys, values = (_split(part, attention.num_heads) for part in (queries, keys, values))
    mask = torch.arange(tokens.shape[1], device=tokens.device) <= places if causal else None
    attended = F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask[:, None, None] if mask is not None else None
    )
    return _finished(block, chosen, attended)[:, 0]


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
    """Return whether all blocks are open_clip's plain ones, whose weights this module reads."""
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
