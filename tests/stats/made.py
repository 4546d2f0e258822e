"""Made-up answers whose seeds, clusters of images and methods are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from adu_bench.core.specs import RunSpec
from tests.conftest import make_predictions, make_spec


@dataclass(frozen=True)
class MadeRun:
    """A run that holds its predictions."""

    spec: RunSpec
    label: str
    frame: pd.DataFrame
    finished: str = ""

    @property
    def key(self) -> str:
        return self.spec.key

    @property
    def measured(self) -> dict[str, Any]:
        return {"domain_probe": None}

    def predictions(self) -> pd.DataFrame:
        return self.frame


def run_of(label: str, seed: int, forget: tuple[str, ...], right: np.ndarray, images, domains) -> MadeRun:
    """Return a run on the data set `emoji` with these right answers (bool)."""
    labels = np.zeros(len(right), int)
    probabilities = np.where(np.asarray(right)[:, None], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0])
    frame = make_predictions(probabilities, labels, list(domains), forget).assign(image=list(images))
    spec = make_spec(label, seed, forget)
    return MadeRun(replace(spec, task=replace(spec.task, dataset="emoji")), label, frame)


def board_runs(rng: np.random.Generator, methods=("one", "two"), forgets=(("a",), ("b",)), seeds=3, clusters=60):
    """Return runs whose answers depend on the cluster, on the seed, and on both; an image in five is missing."""
    there = rng.random((3, clusters)) > 0.2
    domain, code = np.nonzero(there)
    names, images = np.array(list("abc"))[domain], [f"{one:04X}.{two}" for one, two in zip(code, domain, strict=True)]
    runs = []
    for method in methods:
        own = rng.normal(0.3, 1, (2, clusters))
        for seed in range(1, seeds + 1):
            both, shift = rng.normal(0, 0.5, (2, clusters)), rng.normal(0, 0.3)
            for forget in forgets:
                gone = np.isin(names, forget).astype(int)
                odds = own[gone, code] + both[gone, code] + shift
                good = rng.random(len(code)) < 1 / (1 + np.exp(-odds))
                runs.append(run_of(method, seed, forget, good != gone.astype(bool), images, names))
    return runs
