"""CoOp (Zhou et al. 2022): learned context in front of the class name."""

from dataclasses import dataclass

from adu_bench.api import Card, Classifier, Problem

from ._trained import Trained
from .bbf import BareContexts


@dataclass(frozen=True, kw_only=True)
class CoOp(Trained):
    """Learn the text context that the classes share; the image side stays as it is."""

    card = Card(
        name="coop",
        group="tuning",
        title="Learning to Prompt for Vision-Language Models",
        authors="Zhou et al.",
        year=2022,
        paper="arXiv:2109.01134",
        licence="own implementation, MIT; the official code is MIT",
        notes=(
            "The few-shot cross-entropy is replaced by L_memorize + L_forget. Trained: 16 context tokens, the class "
            "name at the end, as in the official code (SGD, lr 0.002, cosine, one warm-up epoch at 1e-5; batches of "
            "32, 50 to 200 epochs). Contexts are the same for every image, so a domain can be forgotten only as far "
            "as class texts separate domains."
        ),
    )

    # No source; the same as adu's.
    ranges = {"lr": (1e-3, 3e-1)}
    bounds = {"contexts": ">= 1, <= 64"}

    contexts: int = 16
    """Context tokens."""

    def prepare(self, problem: Problem, model: Classifier) -> None:
        """Add the contexts."""
        model.add("contexts", BareContexts(self.contexts, 1, model.text_width))
