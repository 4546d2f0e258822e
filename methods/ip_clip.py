"""IP-CLIP (Wang et al. 2025), target-specified: text context from an image's style and content, pushed apart."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from adu_bench.api import (
    Batch,
    Card,
    Classifier,
    ImageContexts,
    Losses,
    Problem,
    RunFailed,
    bottleneck,
)

from ._trained import Loss, Trained, cross_entropies, group_mean


@dataclass(frozen=True, kw_only=True)
class StyleTrained(Trained):
    """Train text context that depends on an image's style and content; CLIP stays frozen."""

    bounds = {"image_tokens": ">= 1, <= 16", "domain_tokens": ">= 1, <= 24", "clamp": "> 0"}
    optimiser = "adamw"
    weight_decay = 0.0

    lr: float = 1e-2
    """Peak learning rate of Adam."""
    image_tokens: int = 4
    """Content tokens."""
    domain_tokens: int = 12
    """Style tokens, each of which appears twice."""
    clamp: float = 5.0
    """Largest value of a term that is raised."""

    def prepare(self, problem: Problem, model: Classifier) -> None:
        """Add the networks, with as many tokens as fit."""
        domain = min(self.domain_tokens, (context_room(model, self.texts(problem)) - self.image_tokens) // 2)
        if domain < 1:
            raise RunFailed("The class names leave no room for this method's tokens in the text tower's context.")
        model.add("contexts", self.part(self.image_tokens, domain, model.feature_width, model.text_width))

    def texts(self, problem: Problem) -> tuple[str, ...]:
        """Return the names that follow the tokens."""
        return problem.classes

    def part(self, content: int, style: int, features: int, width: int) -> "StyleContexts":
        """Return the networks; arguments as in `StyleContexts`."""
        return StyleContexts(content, style, features, width)


@dataclass(frozen=True, kw_only=True)
class IpClip(StyleTrained):
    """Learn text context from the image that is right on retain images and wrong on forget images."""

    card = Card(
        name="ip-clip",
        group="authorisation",
        title="Vision-Language Model IP Protection via Prompt-based Learning",
        authors="Wang et al.",
        year=2025,
        paper="arXiv:2503.02393",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "Retain domains are the authorised source, forget domains the target. Trained: the networks that turn an "
            "image into 4 content and 24 style tokens in front of the class name; CLIP stays frozen. Official: Adam, "
            "lr 0.01, 50 epochs, batches of 8 + 8. Loss: CE(source) - CE(target) - CE(enhanced source) - CE(enhanced "
            "target) - 0.1 MSE(style tokens) + 0.01 entropy - KL(texts), the subtracted terms but the last clamped "
            "at 5. Differences: the official style tokens read the mean and spread of every block of the image "
            "tower; a part that scores features cannot see these, so both kinds of tokens read the image's features. "
            "Enhanced features attend to a bank of class means of their own group, without the official layer's "
            "random projections, so they differ little from the features; the official enhanced target is a source "
            "image that attends to the target's bank, scored with a target image's texts and the source's label. The "
            "official bank holds each class's five most confident images. Style tokens and texts are compared as "
            "means of the two groups, there as pairs of images. The style tokens are fewer where the text tower's "
            "context is short, and twelve by default, repeated as there. Small suites reduce epochs and tokens: "
            "every image needs its own class texts."
        ),
    )
    # lr: around the official 0.01.
    ranges = {"lr": (1e-4, 1e-1)}

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the seven terms."""
        part = model.parts["contexts"]
        retain_bank, forget_bank = (class_means(problem, chosen) for chosen in (False, True))

        def terms(batch: Batch) -> Losses:
            features, forget = model.features(batch.images), batch.forget
            texts = part.texts(features)

            def logits(seen: Tensor) -> Tensor:
                return part.logit_scale * torch.einsum("ncd,nd->nc", texts, seen)

            plain = logits(features)
            values = cross_entropies(plain, batch.labels)
            bank = torch.where(forget[:, None, None], forget_bank, retain_bank)
            enhanced = cross_entropies(logits(attended(features, bank)), batch.labels)
            tokens = part.style(features)
            both = (forget.any() & (~forget).any()).float()
            source, target = ((group_mean_of(x, ~forget), group_mean_of(x, forget)) for x in (tokens, texts))
            chances = plain.float().log_softmax(dim=1)
            entropy = -(chances.exp() * chances).sum(dim=1)
            apart = F.kl_div(target[0].log_softmax(dim=0), target[1].softmax(dim=0), reduction="sum")
            return {
                "source": group_mean(values, ~forget),
                "target": -group_mean(values, forget).clamp(max=self.clamp),
                "enhanced_source": -group_mean(enhanced, ~forget).clamp(max=self.clamp),
                "enhanced_target": -group_mean(enhanced, forget).clamp(max=self.clamp),
                "style": -0.1 * both * (source[0] - source[1]).square().mean().clamp(max=self.clamp),
                "entropy": 0.01 * group_mean(entropy, forget),
                "texts": -both * apart,
            }

        return terms


class StyleContexts(ImageContexts):
    """Content and style tokens that two small networks compute from an image's features; style tokens come twice.

    Parameters
    ----------
    content, style
        Number of content tokens, and of style tokens.
    features, width
        Dimension of image features, and width of the text tower.
    """

    def __init__(self, content: int, style: int, features: int, width: int, extra: list[str] | None = None) -> None:
        super().__init__(content + 2 * style, extra)
        self.width = width
        self.content_network = bottleneck(features, content * width)
        self.style_network = bottleneck(features, style * width)

    def style(self, features: Tensor) -> Tensor:
        """Return the style tokens (N, style, width)."""
        return self.style_network(features).unflatten(1, (-1, self.width))

    def contexts(self, features: Tensor) -> Tensor:
        """Return style tokens, again style tokens, and content tokens (N, length, width)."""
        style = self.style(features)
        return torch.cat([style, style, self.content_network(features).unflatten(1, (-1, self.width))], dim=1)


def context_room(model: Classifier, classes: tuple[str, ...]) -> int:
    """Return how many tokens fit in front of the longest class name."""
    tokens = model.backbone.tokenizer([f"{name}." for name in classes])
    return int(tokens.shape[1] - (tokens != 0).sum(dim=1).max())


def class_means(problem: Problem, forget: bool) -> Tensor:
    """Return the mean features of each class over forget or retain domains, (C, D); zero without images."""
    train = problem.train
    kinds = F.one_hot(train.labels, len(problem.classes)).float() * (train.forget == forget)[:, None]
    return kinds.T @ train.frozen / kinds.sum(dim=0).clamp_min(1)[:, None]


def attended(features: Tensor, bank: Tensor) -> Tensor:
    """Return unit features (N, D) plus what they attend to in each image's bank (N, C, D), scaled to unit length."""
    weights = (0.1 * torch.einsum("nd,ncd->nc", features, bank)).softmax(dim=1)
    return F.normalize(features + torch.einsum("nc,ncd->nd", weights, bank), dim=-1)


def group_mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen rows of values (N, ...); zero if none is chosen."""
    weights = chosen.to(values.dtype) / chosen.sum().clamp_min(1)
    return torch.einsum("n,n...->...", weights, values)
