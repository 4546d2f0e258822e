"""A bundle of made-up runs of a made-up method on the toy suite, and ways to tamper with it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adu_bench.core.hashing import canonical_json
from adu_bench.registry import Catalogue
from adu_bench.runner.executors.interface import Result, perform
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.submission.consistency import images_of
from adu_bench.submission.reading import read_bundle
from adu_bench.submission.submission import from_runs, write_bundle
from adu_bench.suites import load_suite
from tests.conftest import make_predictions, write_run

METHOD = '''"""A submitted method."""

from dataclasses import dataclass

from adu_bench.api import Card, Classifier, Method, Problem


@dataclass(frozen=True, kw_only=True)
class Blur(Method):
    """Answer as zero-shot CLIP does."""

    card = Card(name="blur", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")

    lr: float = 0.1

    def unlearn(self, problem: Problem) -> Classifier:
        """Change nothing."""
        return problem.classifier()
'''


def possible_predictions(task, seed: int) -> pd.DataFrame:
    """Random answers for exactly the test images of a task."""
    images = images_of(task)
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(len(task.classes)), len(images)).astype(np.float32)
    frame = make_predictions(probabilities, images["label"].to_numpy(), list(images["domain"]), task.forget)
    return frame.assign(image=images.index.to_numpy())


@pytest.fixture(scope="session")
def block(tmp_path_factory) -> Path:
    """A folder with the method's file, its four runs, and the bundle made from them."""
    folder = tmp_path_factory.mktemp("block")
    (folder / "mine").mkdir()
    (folder / "mine" / "blur.py").write_text(METHOD)
    (choice,) = Catalogue([folder / "mine"]).select(["blur"])
    suite = load_suite("toy")
    for number, run in enumerate(plan(suite, [choice]).runs):
        write_run(folder / "runs", run.spec, run.label, possible_predictions(run.spec.task, number))
    write_bundle(from_runs(suite, choice, Store(folder / "runs"), "runs"), folder / "b.zip")
    return folder


@dataclass(frozen=True)
class Here:
    """Runs jobs in this process, which has imported torch already."""

    device: str
    timeout: float | None = None

    def run(self, jobs, progress):
        for job in jobs:
            outcome = perform(job, "cpu", progress)
            yield Result(job, outcome.state, outcome.text, 0.0)


class Bundle:
    """A bundle's files, to be changed and packed again."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as zipped:
            self.files = {name: zipped.read(name) for name in zipped.namelist()}
        self.key = sorted(name.split("/")[1] for name in self.files if name.startswith("runs/"))[0]

    @property
    def run(self) -> str:
        return f"runs/{self.key}/run.json"

    @property
    def predictions(self) -> str:
        return f"runs/{self.key}/predictions.parquet"

    def edit(self, name: str, change: Callable[[dict], object]) -> None:
        """Change a JSON file; ``change`` works in place."""
        value = json.loads(self.files[name])
        change(value)
        self.files[name] = json.dumps(value).encode()

    def rehash(self) -> None:
        """Update all hashes, as a careful attacker would."""
        for name in [name for name in self.files if name.endswith(".parquet")]:
            run = name.replace("predictions.parquet", "run.json")
            if run in self.files:
                value = json.loads(self.files[run])
                value["checksums"]["predictions.parquet"] = sha256(self.files[name]).hexdigest()
                self.files[run] = json.dumps(value).encode()
        manifest = json.loads(self.files["submission.json"])
        manifest["files"] = {
            name: sha256(content).hexdigest() for name, content in self.files.items() if name != "submission.json"
        }
        self.files["submission.json"] = canonical_json(manifest).encode()

    def pack(self, path: Path) -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, content in self.files.items():
                zipped.writestr(name, content)
        return path


@pytest.fixture
def bundle(block) -> Bundle:
    return Bundle(block / "b.zip")


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a bundle and returns the submission."""

    def read(path: Path):
        shutil.rmtree(tmp_path / "unpacked", ignore_errors=True)
        return read_bundle(path, tmp_path / "unpacked")

    return read
