"""Fine-tune a classifier on an attacker's images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.part import Host, Part
from adu_bench.clip.prompts import VisualPrompts
from adu_bench.clip.transfer import upload, upload_images
from adu_bench.core.errors import UserError
from adu_bench.runner.evaluate import Images

PROMPT_LENGTH, PROMPT_DEPTH = 8, 9
"""Size of the attacker's prompts if the classifier has none to compare with: the defaults of the prompt methods."""
MOMENTUM = 0.9
LARGEST_GRADIENT = 1.0
"""Longer gradients are scaled to this norm, so that one learning rate suits classifiers of every kind."""


class AttackPrompts(Part):
    """Prompts of an attacker, beside those that the classifier has.

    They enter the same blocks as `adu_bench.clip.prompts.VisualPrompts` would.  If another part has prompts, they are
    appended to them.  Then ``depth`` must not exceed that part's, since later blocks keep the prompts that reach them.

    Parameters
    ----------
    length
        Tokens per block.
    depth
        Number of leading blocks with prompts.
    width
        Token width.
    """

    def __init__(self, length: int, depth: int, width: int) -> None:
        super().__init__()
        self.length, self.depth = length, depth
        self.tokens = nn.Parameter(torch.randn(depth, length, width) * 0.02)
        self.beside = False

    def attach(self, classifier: Host) -> None:
        """Check that the tower supports prompts, and find out whether another part has some."""
        classifier.require_image_hooks("A prompt of the attacker")
        self.beside = any(part.image_prompts(0) is not None for part in _enabled(classifier))
        # In a tuple, because as a plain attribute the LayerNorm would become a submodule of this part.
        self._norm = (classifier.model.visual.ln_pre,)

    def image_prompts(self, index: int) -> Tensor | None:
        """Return the block's prompts, (length, width); None if another part has prompts or the block has none."""
        return None if self.beside or index >= self.depth else self.tokens[index]

    def adapt_prompts(self, index: int, tokens: Tensor, prompts: Tensor) -> Tensor:
        """Append the block's prompts to those of another part, (P, width) or (N, P, width)."""
        if not self.beside or index >= self.depth:
            return prompts
        own = self._norm[0](self.tokens[0]) if index == 0 else self.tokens[index]
        return torch.cat([prompts, own.to(prompts.dtype).expand(*prompts.shape[:-2], -1, -1)], dim=-2)


def add_prompts(classifier: Classifier, size: tuple[int, int] | None = None) -> list[nn.Parameter]:
    """Add an attacker's prompts to a classifier and return their parameters; none if its tower cannot run prompts.

    Parameters
    ----------
    classifier
        A classifier that may be changed.
    size
        Tokens per block and number of blocks; None for those of the classifier's own prompts, or else the usual ones.
    """
    try:
        classifier.require_image_hooks("A prompt of the attacker")
    except UserError:
        return []
    part = classifier.add("attack", AttackPrompts(*(size or _prompt_size(classifier)), classifier.image_width))
    return list(part.parameters())


def _prompt_size(classifier: Classifier) -> tuple[int, int]:
    for part in _enabled(classifier):
        if isinstance(part, VisualPrompts):
            return part.length, part.depth
        given = [part.image_prompts(index) for index in range(classifier.image_depth)]
        if given[0] is not None:
            return given[0].shape[-2], sum(prompts is not None for prompts in given)
    return PROMPT_LENGTH, min(PROMPT_DEPTH, classifier.image_depth)


def _enabled(classifier: Host) -> list[Part]:
    return [part for part in classifier.parts.values() if isinstance(part, Part) and part.enabled]


def tune(
    classifier: Classifier,
    parameters: Sequence[nn.Parameter],
    images: Images,
    *,
    steps: int,
    lr: float,
    batch: int,
    seed: int,
    watch: Callable[[int], None] = lambda step: None,
    at: Collection[int] = (),
) -> None:
    """Minimise the cross-entropy of a classifier with SGD, at a constant rate and without augmentation.

    Parameters
    ----------
    classifier
        Left in eval mode.
    parameters
        The parameters to change; those without influence on the answers stay.
    images
        The labelled images.
    steps, lr, batch
        Number of steps, their learning rate, and images per step; no step has an image twice.
    seed
        Draws the order of the images; parts that draw random numbers in training depend on it as well.
    watch, at
        ``watch(step)`` is called in eval mode after the steps in ``at``; step 0 is before the first one.
    """
    device = classifier.backbone.device
    torch.manual_seed(seed)
    pixels, frozen = upload_images(images.pixels[images.rows], device), upload(images.frozen, device)
    labels = upload(images.labels, device)
    optimiser = torch.optim.SGD(parameters, lr=lr, momentum=MOMENTUM, foreach=True) if parameters else None
    order = _order(len(images), steps, min(batch, len(images)), torch.Generator().manual_seed(seed))
    for step in range(steps + 1):
        if step in at:
            classifier.eval()
            watch(step)
        if step == steps or optimiser is None:
            continue
        if step == 0 or step in at:
            classifier.train()
        rows = upload(order[step], device)
        loss = F.cross_entropy(classifier.logits(pixels[rows], frozen[rows]), labels[rows])
        # The answers of a constant classifier have no gradient.
        if loss.requires_grad:
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
            optimiser.step()
    classifier.eval()


def _order(count: int, steps: int, batch: int, rng: torch.Generator) -> list[Tensor]:
    """Draw the positions of each step's images: in every pass new ones, each at most once."""
    order: list[Tensor] = []
    while len(order) < steps:
        order += torch.randperm(count, generator=rng)[: count // batch * batch].split(batch)
    return order
