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

from adu_bench.clip.blocks import attend_for_one, lowered, per_image, run_block, run_block_for_one, standard
from adu_bench.clip.memory import in_chunks

KEPT_VALUES = 20
"""Values per token, block and unit of width that a block keeps for a backward pass, at most: its input, two normalised
copies, queries, keys, values, the attention's result and output, and three times four in the feed-forward layer."""


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
            and standard(visual.transformer)
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
        whole = torch.cat([tokens, per_image(prompts, len(tokens)).to(tokens.dtype)], dim=1)
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
            and standard(tower.transformer)
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

    def encode(self, texts: Texts, parts: Sequence[Hooks] = (), kept: int | None = None) -> Tensor:
        """Encode texts to features (C, D), which are not scaled to unit length.

        Parameters
        ----------
        texts
            As `prepare` returns them.
        parts
            Change the texts; with ``kept`` they treat each text alike.
        kept
            Bytes of intermediate values to keep for a backward pass; more texts than this allows are encoded in
            chunks (`in_chunks`).  None for no limit.
        """
        size = len(texts.ids) if kept is None else max(1, kept // self.bytes_kept(texts))
        return in_chunks(lambda ids, read: self._encoded(Texts(ids, read), parts), size, texts.ids, texts.read)

    def bytes_kept(self, texts: Texts) -> int:
        """Return an upper bound of the bytes that a backward pass needs for one text, in single precision."""
        width = self.tower.token_embedding.embedding_dim
        return 4 * KEPT_VALUES * width * texts.ids.shape[1] * len(self.tower.transformer.resblocks)

    def _encoded(self, texts: Texts, parts: Sequence[Hooks]) -> Tensor:
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


def _before(parts: Sequence[Hooks], index: int, tokens: Tensor) -> Tensor:
    for part in parts:
        tokens = part.before_text_block(index, tokens)
    return tokens


def _first(found: Any) -> Tensor | None:
    return next((prompts for prompts in found if prompts is not None), None)


def _pool(tower: Any) -> str:
    return str(getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", ""))


def _end_of_text(tower: Any) -> int:
    return int(tower.text_eos_id if hasattr(tower, "text_eos_id") else tower.eos_id)
