"""Approximate domain unlearning by domain disentangling and instance-wise prompts (Kawamura et al. 2025)."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from adu_bench.api import (
    Batch,
    Card,
    Classifier,
    DomainHead,
    InstaPG,
    Losses,
    Method,
    Preset,
    Problem,
    TextPrompts,
    VisualPrompts,
    domain_ce,
    domain_mmd2,
    fit,
    memorize,
    neg_entropy,
    uniform_ce,
)


@dataclass(frozen=True, kw_only=True)
class Adu(Method):
    """Separate the domains in feature space (domain cross-entropy, maximised MMD) and adapt prompts to each image."""

    card = Card(
        name="adu",
        group="paper",
        title="Approximate Domain Unlearning for Vision-Language Models",
        authors="Kawamura et al.",
        year=2025,
        paper="arXiv:2510.08132",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "The paper's equations: L_memorize + L_forget + gamma L_CE - lambda MMD^2. The released code differs; "
            "it is the preset adu-released. Defaults: gamma 30, lambda 10, 8 prompts in 9 blocks, lr 0.0025 and 50 "
            "epochs, as a public note on the paper has them; the released code has them too, but lambda 0.5. Which of "
            "the two lambdas the published table used is not known. The kernel and its bandwidth are those of the "
            "released code, since the paper's text on them is not public, and so are InstaPG's norms and feed-forward "
            "layer. Its entropy form of L_forget has almost no gradient on confident images (2e-8 against 0.99 at a "
            "logit gap of 25 over 65 classes)."
        ),
    )
    presets = (
        Preset(
            "adu-released",
            group="paper",
            summary="The authors' released code, where it differs from the paper.",
            lam=0.5,
            forget_loss="neg_entropy",
            mmd_space="domain_logits",
            domain_outputs="domains_times_classes",
            text_prompts=8,
        ),
        Preset("adu-no-ddl", group="ablation", summary="InstaPG without the disentangling loss.", gamma=0.0, lam=0.0),
        Preset("adu-no-instapg", group="ablation", summary="Disentangling loss without InstaPG.", instapg=False),
        Preset("adu-ce-only", group="ablation", summary="Disentangling by domain cross-entropy alone.", lam=0.0),
        Preset("adu-mmd-only", group="ablation", summary="Disentangling by MMD alone.", gamma=0.0),
        Preset(
            "adu-neg-entropy",
            group="ablation",
            summary="The released code's forget loss.",
            forget_loss="neg_entropy",
        ),
        Preset(
            "adu-mmd-logits",
            group="ablation",
            summary="MMD on the domain classifier's outputs.",
            mmd_space="domain_logits",
        ),
        Preset("adu-fixed-bandwidth", group="ablation", summary="MMD with fixed kernel widths.", bandwidth="fixed"),
        Preset("adu-pair-sum", group="ablation", summary="MMD summed over pairs of domains.", pair_reduce="sum"),
        Preset(
            "adu-plain-instapg",
            group="ablation",
            summary="InstaPG as in the paper's figure: one norm, no feed-forward layer.",
            instapg_norms=False,
            instapg_ffn=False,
        ),
        Preset("adu-text-prompts", group="ablation", summary="With learned text context.", text_prompts=8),
        Preset("adu-balanced", group="ablation", summary="Batches with equal shares of domains.", balanced=True),
    )

    # gamma, lam: around the values of the released scripts (gamma 0, 10, 30, 50, 100; lambda 0, 10, 20, 30, 50, 100; on
    # ImageNet gamma 15, 20 and lambda 0 to 20), of the paper (30 and 10) and of the released code (30 and 0.5).
    # lr: no source; the published 2.5e-3 is near the lower end, because the suites that are tuned have fewer steps.
    ranges = {"lr": (1e-3, 3e-1), "gamma": (0.3, 100.0), "lam": (0.3, 100.0)}
    # 56 is the depth of the deepest tower that open_clip knows.
    bounds = {
        "epochs": ">= 1",
        "lr": "> 0",
        "gamma": ">= 0",
        "lam": ">= 0",
        "prompt_length": ">= 1",
        "prompt_depth": ">= 1, <= 56",
        "instapg_block": ">= 1, <= 56",
        "text_prompts": ">= 0",
        "crop": "> 0, <= 1",
    }

    epochs: int = 50
    """Passes over the few-shot images."""
    lr: float = 2.5e-3
    """Peak learning rate of SGD."""
    gamma: float = 30.0
    """Weight of the domain classifier's cross-entropy."""
    lam: float = 10.0
    """Weight (lambda) of the squared MMD, which is maximised."""
    forget_loss: Literal["uniform_ce", "neg_entropy"] = "uniform_ce"
    """Cross-entropy from the uniform distribution (paper) or negative entropy (released code)."""
    mmd_space: Literal["features", "domain_logits"] = "features"
    """Where the MMD is measured: image features (paper) or the domain classifier's outputs (released code)."""
    bandwidth: Literal["median", "fixed"] = "median"
    """Kernel width: median distance across each pair of domains, or the mean over widths .1, .2, .4 and .8."""
    pair_reduce: Literal["mean", "sum"] = "mean"
    """Mean (paper) or sum of the MMD over pairs of domains."""
    domain_outputs: Literal["domains", "domains_times_classes"] = "domains"
    """Outputs of the domain classifier; the released code has more than there are domains."""
    prompt_length: int = 8
    """Prompt tokens per block."""
    prompt_depth: int = 9
    """Number of leading blocks with their own prompts, at most the tower's depth."""
    instapg: bool = True
    """Generate one block's prompts from the image."""
    instapg_block: int = 9
    """The block (from 1) whose prompts are generated, at most the last prompted one."""
    instapg_norms: bool = True
    """Separate LayerNorms for queries and for patches in InstaPG (released code)."""
    instapg_ffn: bool = True
    """A feed-forward layer after InstaPG's attention (released code)."""
    text_prompts: int = 0
    """Number of learned text context tokens; the paper keeps the text side fixed, the released code learns 8."""
    balanced: bool = False
    """Give every batch the same number of images of each domain."""
    crop: float = 0.08
    """Smallest share of the area that random-resized-crop keeps."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Train prompts, InstaPG and the domain classifier jointly."""
        model = problem.classifier()
        self._add_parts(model)
        width = len(problem.domains) * (1 if self.domain_outputs == "domains" else len(problem.classes))
        domain_head = model.add("domain_head", DomainHead(model.feature_width, width))

        def loss(batch: Batch) -> Losses:
            features = model.features(batch.images)
            logits = model.classify(features)
            terms = {
                "memorize": memorize(logits, batch.labels, batch.forget),
                "forget": self._forget(logits, batch.forget),
            }
            if self.gamma or (self.lam and self.mmd_space == "domain_logits"):
                domain_logits = domain_head(features)
                terms["domain_ce"] = self.gamma * domain_ce(domain_logits, batch.domains)
            if self.lam:
                space = features if self.mmd_space == "features" else domain_logits
                terms["mmd"] = -self.lam * self._mmd2(space, batch.domains, len(problem.domains))
            return terms

        return fit(problem, model, loss, epochs=self.epochs, lr=self.lr, crop=self.crop, balanced=self.balanced)

    def _add_parts(self, model: Classifier) -> None:
        depth = min(self.prompt_depth, model.image_depth)
        model.add("prompts", VisualPrompts(self.prompt_length, depth, model.image_width))
        if self.instapg:
            block = min(self.instapg_block, depth) - 1
            generator = InstaPG(
                self.prompt_length,
                block,
                model.image_width,
                model.image_heads,
                separate_norms=self.instapg_norms,
                feed_forward=self.instapg_ffn,
            )
            model.add("instapg", generator)
        if self.text_prompts:
            depth = min(self.prompt_depth, model.text_depth)
            model.add("text_prompts", TextPrompts(self.text_prompts, depth, model.text_width))

    def _forget(self, logits: Tensor, forget: Tensor) -> Tensor:
        return uniform_ce(logits, forget) if self.forget_loss == "uniform_ce" else neg_entropy(logits, forget)

    def _mmd2(self, space: Tensor, domains: Tensor, count: int) -> Tensor:
        bandwidth = "median" if self.bandwidth == "median" else (0.1, 0.2, 0.4, 0.8)
        return domain_mmd2(space, domains, count, bandwidth, self.pair_reduce)
