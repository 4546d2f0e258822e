from dataclasses import dataclass
from pathlib import Path

from adu_bench.api import Card, Classifier, Method, Problem
from adu_bench.runner.evaluate import predict
from adu_bench.runner.task_data import TaskData


@dataclass(frozen=True, kw_only=True)
class Overwrites(Method):
    """Overwrites the submitted predictions with those that the rerun will give."""

    card = Card(name="overwrites", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")

    def unlearn(self, problem: Problem) -> Classifier:
        model = problem.classifier()
        for submitted in Path(Overwrites.unlearn.__code__.co_filename).parent.glob("runs/*/predictions.parquet"):
            frame, _ = predict(model.eval(), TaskData(problem.task, problem.backbone).images("test"), 128)
            frame.to_parquet(submitted, index=False)
        return model
