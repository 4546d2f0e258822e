"""NegGrad+ (GradDiff): gradient descent on retain domains and bounded gradient ascent on forget domains."""

from dataclasses import dataclass

from adu_bench.api import Batch, Card, Classifier, Losses, Preset, Problem

from ._trained import Loss, WeightsTrained, cross_entropies, group_mean


@dataclass(frozen=True, kw_only=True)
class NegGrad(WeightsTrained):
    """Fine-tune the image tower to lower the cross-entropy of retain images and raise that of forget images."""

    card = Card(
        name="neg-grad-plus",
        group="weights",
        title="Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks (NegGrad)",
        authors="Golatkar et al.",
        year=2020,
        paper="arXiv:1911.04933",
        licence="own implementation, MIT; the code of open-unlearning (GradDiff) is MIT",
        notes=(
            "Made for classes and samples; here the images of forget domains are the forget set. Trained: the image "
            "tower, with the zero-shot texts as class weights. Loss: CE(retain) - ascent CE(forget), with weights 1 "
            "and 1 as in GradDiff of open-unlearning (lr 1e-4 for ascent alone in other comparisons). The forget "
            "term has no lower bound, so each image's cross-entropy counts up to a cap, above which it has no "
            "gradient: without it training diverges. The cap of 6 is that of a third party's experiment."
        ),
    )
    presets = (
        Preset(
            "gradient-ascent",
            group="weights",
            summary="Bounded gradient ascent on forget domains alone.",
            retain=0.0,
        ),
    )

    # No source: the published rates are for other models; a factor of a hundred around 1e-4.
    ranges = {"lr": (1e-5, 1e-1), "ascent": (0.1, 3.0)}
    bounds = {"retain": ">= 0", "ascent": ">= 0", "cap": "> 0"}

    retain: float = 1.0
    """Weight of the retain images' cross-entropy."""
    ascent: float = 1.0
    """Weight of the forget images' cross-entropy, which is raised."""
    cap: float = 6.0
    """Largest cross-entropy of a forget image that is raised further, in nats."""

    def loss(self, problem: Problem, model: Classifier) -> Loss:
        """Return the two terms."""

        def terms(batch: Batch) -> Losses:
            values = cross_entropies(model.logits(batch.images), batch.labels)
            return {
                "retain": self.retain * group_mean(values, ~batch.forget),
                "forget": -self.ascent * group_mean(values.clamp(max=self.cap), batch.forget),
            }

        return terms
