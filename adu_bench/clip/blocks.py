"""Residual attention blocks of open_clip, computed for the tokens whose outputs are used."""

from __future__ import annotations

from typing import Any

import open_clip.transformer
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakTensorKeyDictionary


def standard(transformer: Any) -> bool:
    """Return whether all blocks are open_clip's standard blocks, whose weights this module reads."""
    return all(
        type(block) is open_clip.transformer.ResidualAttentionBlock
        and not hasattr(block, "ln_1_kv")
        and isinstance(block.attn, nn.MultiheadAttention)
        # Not the fused weight itself: a low-rank update would compute it anew at every look.
        and block.attn.q_proj_weight is None
        and block.attn.in_proj_bias is not None
        for block in transformer.resblocks
    )


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
        both = torch.cat([both, per_image(own, len(both)).to(both.dtype)], dim=1)
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
        seen = torch.cat([seen, per_image(block.ln_1(prompts), len(seen)).to(seen.dtype)], dim=1)
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


def per_image(prompts: Tensor, count: int) -> Tensor:
    """Give each of ``count`` images its prompts (N, P, width), from (P, width) or (N, P, width)."""
    return prompts.expand(count, -1, -1)
