"""IP-CLIP (Wang et al. 2025), target-specified: text context from an image's style and content, pushed apart."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
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
            "Enhanced features are retain images that attend to the class means of their own group or of the forget "
            "images, through random projections that are not trained, as there; the enhanced target is scored with a "
            "forget image's texts and the retain image's label. The official bank holds each class's five most "
            "confident images. Style tokens and texts are compared as means of the two groups, there as pairs of "
            "images. The style tokens are fewer where the text tower's context is short, and twelve by default, "
            "repeated as there. Small suites reduce epochs and tokens: every image needs its own class texts."
        ),
    )
    # lr: around the official 0.01.
    ranges = {"lr": (1e-4, 1e-1)}

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the seven terms."""
        part = model.parts["contexts"]
        retain_bank, forget_bank = (class_means(problem, chosen) for chosen in (False, True))
        attention = Attention(model.feature_width).to(problem.device)

        def logits(texts: Tensor, seen: Tensor) -> Tensor:
            return part.logit_scale * torch.einsum("ncd,nd->nc", texts, seen)

        def terms(batch: Batch) -> Losses:
            features, forget = model.features(batch.images), batch.forget
            texts = part.texts(features)

            plain = logits(texts, features)
            values = cross_entropies(plain, batch.labels)
            near, far = attention(features, ~forget, retain_bank, forget_bank)
            enhanced_source = cross_entropies(logits(texts, near), batch.labels)
            enhanced_target = cross_entropies(logits(texts[partners(forget)], far), batch.labels)
            tokens = part.style(features)
            both = (forget.any() & (~forget).any()).float()
            style_means, text_means = ((group_mean_of(x, ~forget), group_mean_of(x, forget)) for x in (tokens, texts))
            chances = plain.float().log_softmax(dim=1)
            entropy = -(chances.exp() * chances).sum(dim=1)
            apart = F.kl_div(text_means[0].log_softmax(dim=0), text_means[1].softmax(dim=0), reduction="sum")
            return {
                "source": group_mean(values, ~forget),
                "target": -group_mean(values, forget).clamp(max=self.clamp),
                "enhanced_source": -group_mean(enhanced_source, ~forget).clamp(max=self.clamp),
                "enhanced_target": -both * group_mean(enhanced_target, ~forget).clamp(max=self.clamp),
                "style": -0.1 * both * (style_means[0] - style_means[1]).square().mean().clamp(max=self.clamp),
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


class Attention(nn.Module):
    """Image features plus what they attend to in banks, through random projections that are not trained.

    Parameters
    ----------
    width
        Dimension of image features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(width // 8, 1)
        self.before = nn.ModuleList([nn.Linear(width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 3 * width)])
        self.after = nn.Linear(width, width)
        self.requires_grad_(False)

    def forward(self, features: Tensor, chosen: Tensor, *banks: Tensor) -> tuple[Tensor, ...]:
        """Return unit features (N, D), one for each bank (C, D); the chosen rows (N,), bool, give the statistics."""
        query = self._projected(features, chosen)[0]
        found = []
        for bank in banks:
            _, key, value = self._projected(bank, torch.ones_like(bank[:, 0], dtype=torch.bool))
            weights = (0.1 * query @ key.T).softmax(dim=1)
            found.append(F.normalize(features + self.after(weights @ value), dim=-1))
        return tuple(found)

    def _projected(self, features: Tensor, chosen: Tensor) -> tuple[Tensor, ...]:
        for layer in self.before[:-1]:
            features = layer(features).float()
            centred = features - group_mean_of(features, chosen)
            features = (centred * (group_mean_of(centred.square(), chosen) + 1e-5).rsqrt()).relu()
        return self.before[-1](features).chunk(3, dim=-1)


def partners(forget: Tensor) -> Tensor:
    """Return the row of a forget image for each row (N,): the first retain image gets the first, and so on, in turn."""
    rows = torch.argsort(forget.logical_not(), stable=True)
    turn = ((~forget).cumsum(dim=0) - 1).clamp_min(0) % forget.sum().clamp_min(1)
    return rows[turn]


def group_mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen rows of values (N, ...); zero if none is chosen."""
    weights = chosen.to(values.dtype) / chosen.sum().clamp_min(1)
    return torch.einsum("n,n...->...", weights, values)
