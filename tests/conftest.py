"""Shared fixtures: a separate cache folder, a tiny random CLIP model, made-up runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

from adu_bench.core.cores import usable_cores
from tests.folders import own_folder

# Set before anything else of the project is imported, so that no test reads or fills the user's folders.
os.environ["ADU_BENCH_CACHE"] = own_folder("cache")
os.environ["ADU_BENCH_DATA"] = own_folder("data")
# Test processes share the cores: threads that wait for a busy core slow torch down several times.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = usable_cores() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))

import numpy as np
import pandas as pd
import pytest

from adu_bench.core.hashing import digest, file_sha256
from adu_bench.core.specs import BackboneSpec, MethodSpec, RunSpec, Task, TrainingSpec
from adu_bench.store import Store


def pytest_unconfigure() -> None:
    """Remove the folders of this session."""
    for name in ("ADU_BENCH_CACHE", "ADU_BENCH_DATA"):
        shutil.rmtree(os.environ[name], ignore_errors=True)


def hear_ctrl_c() -> None:
    """Restore the default SIGINT handler, since a shell starts background processes with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def make_task(forget: tuple[str, ...] = ("b",), classes: int = 3) -> Task:
    return Task("made-up", "d" * 20, ("a", "b", "c"), forget, tuple(f"class {i}" for i in range(classes)), "a {}.", 2)


def make_spec(method: str = "some", seed: int = 1, forget: tuple[str, ...] = ("b",), **fields: float) -> RunSpec:
    return RunSpec(
        task=make_task(forget),
        backbone=BackboneSpec("tiny", "w" * 20),
        method=MethodSpec(method, "s" * 20, "t" * 20, tuple(sorted(fields.items()))),
        training=TrainingSpec(8, "fp32"),
        seed=seed,
    )


def make_predictions(
    probabilities: np.ndarray, labels: np.ndarray, domains: list[str], forget: tuple[str, ...]
) -> pd.DataFrame:
    """Build a prediction table from class probabilities (N, C), as the evaluation does."""
    top = np.sort(probabilities, axis=1)[:, ::-1]
    return pd.DataFrame(
        {
            "image": [f"image {i}" for i in range(len(labels))],
            "domain": domains,
            "forget": [domain in forget for domain in domains],
            "label": labels.astype(np.int16),
            "predicted": probabilities.argmax(axis=1).astype(np.int16),
            "tied": (probabilities == top[:, :1]).sum(axis=1).astype(np.int16),
            "p_label": probabilities[np.arange(len(labels)), labels].astype(np.float32),
            "p_max": top[:, 0].astype(np.float32),
            "entropy": -(probabilities * np.log(probabilities + 1e-30)).sum(axis=1).astype(np.float32),
            "margin": (top[:, 0] - top[:, 1]).astype(np.float32),
        }
    )


def random_predictions(
    seed: int = 0, count: int = 60, classes: int = 3, forget: tuple[str, ...] = ("b",)
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), count)
    domains = [("a", "b", "c")[i % 3] for i in range(count)]
    return make_predictions(probabilities, rng.integers(classes, size=count), domains, forget)


def write_run(root: Path, spec: RunSpec, label: str = "some", predictions: pd.DataFrame | None = None) -> str:
    """Write a complete run directory through the store and return its key.

    Predictions with other domains than the task's get these in turn.
    """
    from safetensors.numpy import save_file

    store = Store(root)
    frame = random_predictions(forget=spec.task.forget) if predictions is None else predictions
    domains = spec.task.domains
    if not set(frame["domain"]) <= set(domains):
        frame = frame.assign(domain=[domains[place % len(domains)] for place in range(len(frame))])
        frame["forget"] = frame["domain"].isin(spec.task.forget)
    rng = np.random.default_rng(1)
    with store.lock(spec.key), store.begin(spec.key) as folder:
        frame.to_parquet(folder / "predictions.parquet", index=False)
        features = rng.normal(size=(len(frame), 8)).astype(np.float16)
        save_file({"features": features, "rows": np.arange(len(frame))}, folder / "features.safetensors")
        store.finish(
            folder,
            spec,
            label,
            environment={"python": "3"},
            timings={},
            measured={"seconds": 1.5, "trainable_parameters": 10, "peak_memory_mb": 100.0, "image_passes": 5},
        )
    return spec.key


def forge_run(folder: Path, **changes) -> None:
    """Change entries of a run's run.json, with a checksum that fits, as whoever wants to deceive would do."""
    path = folder / "run.json"
    info = json.loads(path.read_text()) | changes
    info["checksums"] |= {own.name: file_sha256(own) for own in folder.iterdir() if own.name in info["checksums"]}
    del info["digest"]
    path.write_text(json.dumps(info | {"digest": digest(info)}))


@pytest.fixture(scope="session")
def tiny_backbone():
    """A CLIP model with random weights, 16-pixel images and 24-dimensional features."""
    import open_clip
    import torch

    from adu_bench.clip.backbone import Backbone
    from adu_bench.clip.folder_model import tokenizer
    from adu_bench.data.preprocessing import Preprocessing

    torch.manual_seed(0)
    tokens = tokenizer()
    model = open_clip.CLIP(
        embed_dim=24,
        vision_cfg={"image_size": 16, "patch_size": 8, "width": 32, "layers": 3, "head_width": 16},
        text_cfg={"context_length": 32, "vocab_size": tokens.vocab_size, "width": 32, "heads": 2, "layers": 2},
    )
    model = model.eval().requires_grad_(False)
    half = torch.full((3, 1, 1), 0.5)
    return Backbone(
        BackboneSpec("tiny", "w" * 20),
        model,
        tokens,
        Preprocessing(16, "bicubic", "shortest"),
        half,
        half,
        torch.device("cpu"),
    )


@pytest.fixture
def tiny_problem(tiny_backbone):
    """A problem of 3 domains x 3 classes x 4 random images; domain 'b' is to be forgotten."""
    import torch

    from adu_bench.training.problem import Batch, FullImages, Problem

    def batch(count: int, seed: int) -> Batch:
        rng = torch.Generator().manual_seed(seed)
        images = torch.randint(0, 256, (count, 3, 16, 16), generator=rng, dtype=torch.uint8)
        labels, domains = torch.arange(count) % 3, torch.arange(count) // 3 % 3
        return Batch(images, labels, domains, domains == 1, tiny_backbone.image_features(images))

    train = batch(36, 1)
    canvases = np.zeros((36, 32, 32, 3), np.uint8)
    canvases[:, :16, :16] = train.images.permute(0, 3, 2, 1).numpy()
    return Problem(
        make_task(),
        tiny_backbone,
        train,
        FullImages(lambda places: canvases[places], torch.full((36, 4), 16, dtype=torch.int32)),
        TrainingSpec(12, "fp32"),
        torch.Generator().manual_seed(0),
    )
