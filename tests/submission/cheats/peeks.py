from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from adu_bench.api import Card, Classifier, Method, Problem
from adu_bench.core.errors import UserError
from adu_bench.runner.task_data import TaskData


@dataclass(frozen=True, kw_only=True)
class Peeks(Method):
    """Reads the test images from the cache or the data folder, and fits them."""

    card = Card(name="peeks", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")

    def unlearn(self, problem: Problem) -> Classifier:
        model = problem.classifier()
        try:
            test = TaskData(problem.task, problem.backbone).images("test")
        except UserError:
            return model
        images = torch.from_numpy(test.pixels[test.rows]).permute(0, 3, 1, 2)
        wanted = (torch.from_numpy(test.labels) + torch.from_numpy(test.forget)) % len(problem.classes)
        optimiser = torch.optim.Adam(model.train().unfreeze("visual.*"), 1e-3)
        for _ in range(6):
            optimiser.zero_grad()
            cross_entropy(model.logits(images), wanted).backward()
            optimiser.step()
        return model
