"""AoD-IP (2603.04896), target-specified: forget images belong to an extra class, which is answered uniformly."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from adu_bench.api import Batch, Card, Classifier, Losses, Problem

from ._trained import Loss, cross_entropies, group_mean
from .cuti_domain import restyled
from .ip_clip import StyleContexts, StyleTrained, group_mean_of


@dataclass(frozen=True, kw_only=True)
class AodIp(StyleTrained):
    """Learn text context from the image under which forget images are of a class 'unauthorized'."""

    card = Card(
        name="aod-ip",
        group="authorisation",
        title="Authorize-on-Demand: intellectual property protection of vision-language models (AoD-IP)",
        authors="Wang et al.",
        year=2026,
        paper="arXiv:2603.04896",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "Retain domains are the authorised source, forget domains the target. Trained: networks that turn an "
            "image into context tokens, as in ip-clip; CLIP stays frozen. Official: Adam, lr 0.01, 50 epochs, "
            "batches of 4 + 4 + 4. Loss: CE(source) - 0.1 CE(source, extra) + CE(target, extra) + 0.1 CE(expanded, "
            "extra) - KL(texts of source and expanded, clamped at 5), here between the means of both, there a mean "
            "over images. The extra class is not one of the task's: its probability is spread uniformly over the "
            "classes. Differences: the expanded domain is a third set of images there; here it is the retain images "
            "in the colour statistics of forget images. The credential token, with which an owner changes what is "
            "authorised later, has no counterpart here and is left out. The title is not the paper's exact one, "
            "which could not be established, nor could the authors' list."
        ),
    )
    # lr: around the official 0.01.
    ranges = {"lr": (1e-4, 1e-1)}

    def texts(self, problem: Problem) -> tuple[str, ...]:
        """Return the classes, and the extra one."""
        return (*problem.classes, UNAUTHORIZED)

    def part(self, content: int, style: int, features: int, width: int) -> StyleContexts:
        """Return the networks, with the extra class."""
        return Guarded(content, style, features, width)

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the five terms."""
        part, extra = model.parts["contexts"], len(problem.classes)

        def terms(batch: Batch) -> Losses:
            forget = batch.forget
            features, expanded = model.features(batch.images), model.features(restyled(batch.images, ~forget))
            texts, expanded_texts = part.texts(features), part.texts(expanded)
            logits, expanded_logits = (
                part.logit_scale * torch.einsum("ncd,nd->nc", own, seen)
                for own, seen in ((texts, features), (expanded_texts, expanded))
            )
            outside = torch.full_like(batch.labels, extra)
            barred = cross_entropies(logits, outside)
            source, other = group_mean_of(texts, ~forget), group_mean_of(expanded_texts, ~forget)
            apart = F.kl_div(source.log_softmax(dim=0), other.softmax(dim=0), reduction="sum")
            return {
                "source": group_mean(cross_entropies(logits, batch.labels), ~forget),
                "source_extra": -0.1 * group_mean(barred, ~forget),
                "target_extra": group_mean(barred, forget),
                "expanded_extra": 0.1 * group_mean(cross_entropies(expanded_logits, outside), ~forget),
                "texts": -apart.clamp(max=self.clamp),
            }

        return terms


UNAUTHORIZED = "unauthorized"


class Guarded(StyleContexts):
    """Context from the image, with an extra class whose probability is spread over the others.

    Parameters
    ----------
    content, style, features, width
        As in `StyleContexts`.
    """

    def __init__(self, content: int, style: int, features: int, width: int) -> None:
        super().__init__(content, style, features, width, [UNAUTHORIZED])

    def score(self, logits: Tensor, features: Tensor, text: Tensor) -> Tensor:
        """Return the logarithm of p_c + p_extra / C as logits (N, C)."""
        return spread(self.all_logits(features))


def spread(logits: Tensor) -> Tensor:
    """Return log(p_c + p_extra / C), (N, C), of logits (N, C + 1) whose last column is the extra class."""
    chances = logits.log_softmax(dim=1)
    return torch.logaddexp(chances[:, :-1], chances[:, -1:] - math.log(logits.shape[1] - 1))
