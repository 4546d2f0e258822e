"""LP++ (Huang et al. 2024): a linear probe on frozen features, blended with the class texts by learned multipliers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adu_bench.api import Card, Classifier, Method, Part, Problem, harmonic_h, memorize, uniform_ce


@dataclass(frozen=True, kw_only=True)
class LpPlusPlus(Method):
    """Fit class weights and text multipliers on frozen features, with step sizes from the data's Lipschitz bounds."""

    card = Card(
        name="lp-plus-plus",
        group="paper",
        title="LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP",
        authors="Huang et al.",
        year=2024,
        paper="arXiv:2404.02285",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "The few-shot cross-entropy is replaced by L_memorize + L_forget; how the ADU paper's authors ported it is "
            "not public. Features are frozen, so only what is linear in them can be forgotten. Centroids and the start "
            "of the multipliers are taken over retain domains. The iterate with the best H on the validation images is "
            "kept, as the released code keeps the one with the best accuracy; that code starts from class sums "
            "instead of class means, adds a bias, and never resets the multipliers' gradient, which is not in its "
            "equations. The Lipschitz bounds weigh each image as the two losses do."
        ),
    )

    # text_weight: around the official 250.  step: a factor of ten around the paper's step sizes, to either side.
    ranges = {"text_weight": (10.0, 1000.0), "step": (0.1, 10.0)}
    bounds = {
        "iterations": ">= 1",
        "text_weight": ">= 0",
        "step": "> 0",
        "momentum": ">= 0, < 1",
        "multiplier_every": ">= 1",
    }

    iterations: int = 300
    """Full-batch steps."""
    text_weight: float = 250.0
    """Start of the text multipliers, in units of the mean text score of an image's own class."""
    step: float = 1.0
    """Factor on both step sizes."""
    momentum: float = 0.9
    """Momentum of the class weights."""
    multiplier_every: int = 10
    """Number of iterations between two steps of the text multipliers."""

    def unlearn(self, problem: Problem) -> Classifier:
        """Fit the probe on the frozen features of the few-shot images."""
        model = problem.classifier()
        text, train = model.text_features(), problem.train
        probe = model.add("probe", BlendedProbe(len(problem.classes), model.feature_width))
        probe.start(train.frozen[~train.forget], train.labels[~train.forget], text, self.text_weight)
        share = image_weights(train.forget)
        weight_step, multiplier_step = (self.step * size for size in step_sizes(train.frozen, text, share))
        stepper = torch.optim.SGD([probe.weights], lr=weight_step, momentum=self.momentum)
        best, chosen = -1.0, {}
        for iteration in range(1, self.iterations + 1):
            logits = probe.score(None, train.frozen, text)
            terms = {
                "memorize": memorize(logits, train.labels, train.forget),
                "forget": uniform_ce(logits, train.forget),
            }
            probe.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            stepper.step()
            with torch.no_grad():
                if iteration % self.multiplier_every == 0:
                    probe.multipliers -= multiplier_step * probe.multipliers.grad
                answers = probe.score(None, problem.validation.frozen, text)
            h = harmonic_h(answers, problem.validation.labels, problem.validation.forget)
            if h > best:
                best, chosen = h, {name: value.clone() for name, value in probe.state_dict().items()}
            problem.log(iteration=iteration, validation_h=h, **{name: term.detach() for name, term in terms.items()})
            problem.report("training", iteration, self.iterations, f"best H {best:.3f}")
        probe.load_state_dict(chosen)
        return model


class BlendedProbe(Part):
    """Logits f.w_k + alpha_k f.t_k of unit features f, class weights w, text features t and multipliers alpha.

    Parameters
    ----------
    classes, width
        Number of classes and feature dimension.
    """

    open_vocabulary = False

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(classes, width))
        self.multipliers = nn.Parameter(torch.ones(classes))

    @torch.no_grad()
    def start(self, features: Tensor, labels: Tensor, text: Tensor, text_weight: float) -> None:
        """Start from class centroids, and from one multiplier: ``text_weight`` times the mean own-class text score."""
        kinds = torch.nn.functional.one_hot(labels, len(text)).to(features.dtype)
        kinds = kinds / kinds.sum(dim=0).clamp(min=1)
        self.weights.copy_(kinds.T @ features)
        own = (kinds * (features @ text.T)).sum(dim=0)
        self.multipliers.fill_(float(text_weight * own.mean()))

    def score(self, logits: Tensor | None, features: Tensor, text: Tensor) -> Tensor:
        """Return the probe's logits (N, C) in place of the zero-shot ones."""
        return features @ self.weights.T + self.multipliers * (features @ text.T)


def image_weights(forget: Tensor) -> Tensor:
    """Return each image's weight (N,) in L_memorize + L_forget: one over the number of images of its group."""
    forgotten, kept = forget.sum().clamp(min=1), (~forget).sum().clamp(min=1)
    return torch.where(forget, 1 / forgotten, 1 / kept)


def step_sizes(features: Tensor, text: Tensor, share: Tensor) -> tuple[float, float]:
    """Return the step sizes of class weights and multipliers from the losses' block Lipschitz bounds.

    The cross-entropy of one class's logit has a second derivative of at most 1/4, for every target, so the block of
    one class's weights is bounded by lambda_max(F^T S F) / 4; its inverse is the step (4 N / lambda_max with equal
    shares).  The multipliers use the released code's step 1/(4 max_k sum_i s_i (f_i.t_k)^2), 1/16 of their bound.

    Parameters
    ----------
    features, text
        Unit features of N images (N, D) and C classes (C, D).
    share
        Weight of each image in the loss, (N,).
    """
    top = torch.linalg.matrix_norm(features * share.sqrt()[:, None], ord=2) ** 2
    scores = (share[:, None] * (features @ text.T) ** 2).sum(dim=0)
    return float(4 / top), float(1 / (4 * scores.max()))
