"""CLIPFit (Li et al. 2024): fine-tune the text side's feed-forward output biases and the image side's LayerNorms."""

from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.nn import functional as F

from adu_bench.api import (
    Batch,
    Card,
    Classifier,
    Losses,
    Method,
    Problem,
    RunFailed,
    fit,
    memorize,
    neg_entropy,
    uniform_ce,
)


@dataclass(frozen=True, kw_only=True)
class ClipFit(Method):
    """Tune text feed-forward biases and image LayerNorms, and keep the class texts near their zero-shot features."""

    card = Card(
        name="clipfit",
        group="paper",
        title="Vision-Language Model Fine-Tuning via Simple Parameter-Efficient Modification",
        authors="Li et al.",
        year=2024,
        paper="arXiv:2409.16718",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "The few-shot cross-entropy is replaced by L_memorize + L_forget; the distillation term stays, with the "
            "weight 8 of the ADU authors' port. That port uses the entropy form of L_forget (forget_loss=neg_entropy). "
            "Defaults: lr 0.002 as in the official code, 50 epochs as in the port. The official code has the weight 8 "
            "for base-to-new transfer and for two data sets, otherwise 2; batches of 32, and 10 to 100 epochs."
        ),
    )

    # distillation: around the official code's 2 and 8.  lr: no source; the same as adu's.
    ranges = {"lr": (1e-3, 3e-1), "distillation": (0.5, 50.0)}
    bounds = {"epochs": ">= 1", "lr": "> 0", "distillation": ">= 0", "crop": "> 0, <= 1"}

    epochs: int = 50
    """Passes over the few-shot images."""
    lr: float = 2e-3
    """Peak learning rate of SGD."""
    distillation: float = 8.0
    """Weight of one minus the mean cosine between tuned and zero-shot class texts."""
    forget_loss: Literal["uniform_ce", "neg_entropy"] = "uniform_ce"
    """Cross-entropy from the uniform distribution (paper) or negative entropy (the ADU authors' port)."""
    crop: float = 0.08
    """Smallest share of the area that random-resized-crop keeps."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Tune the weights that `tuned_names` lists."""
        model = problem.classifier()
        original = model.text_features()
        model.unfreeze(*tuned_names(model))
        forget = uniform_ce if self.forget_loss == "uniform_ce" else neg_entropy

        def loss(batch: Batch) -> Losses:
            text = model.text_features()
            logits = model.classify(model.features(batch.images), text=text)
            return {
                "memorize": memorize(logits, batch.labels, batch.forget),
                "forget": forget(logits, batch.forget),
                "distillation": self.distillation * (1 - F.cosine_similarity(text, original).mean()),
            }

        return fit(problem, model, loss, epochs=self.epochs, lr=self.lr, crop=self.crop)


def tuned_names(model: Classifier) -> list[str]:
    """Return the names of the weights that CLIPFit tunes.

    Raises
    ------
    RunFailed
        If a tower has none of them.
    """
    modules = dict(model.model.named_modules())
    visual = {name: module for name, module in modules.items() if name.startswith("visual.")}
    norms = [name for name, module in visual.items() if isinstance(module, nn.LayerNorm)]
    biases = [
        f"{name}.bias"
        for name, module in modules.items()
        if name.endswith(".mlp.c_proj") and name not in visual and module.bias is not None
    ]
    if not norms or not biases:
        raise RunFailed("CLIPFit needs an image tower with LayerNorms and a text transformer with feed-forward biases.")
    weights = [f"{name}.{leaf}" for name in norms for leaf, _ in modules[name].named_parameters(recurse=False)]
    return [*weights, *biases]
