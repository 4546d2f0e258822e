"""Tests that need a GPU; they are skipped, with the reason, on machines without one."""

from __future__ import annotations

import pytest
import torch

from adu_bench.clip.prompts import VisualPrompts
from adu_bench.core.specs import MethodSpec, RunSpec, TrainingSpec
from adu_bench.registry import Catalogue
from adu_bench.runner import batches, execute
from adu_bench.runner.batches import in_batches
from adu_bench.runner.evaluate import predict
from adu_bench.runner.execute import TaskData, load_shared_backbone
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite
from adu_bench.training.loop import fit
from adu_bench.training.losses import uniform_ce

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="not run: no GPU")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache without features that the CPU made."""
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path / "cache"))


def toy_data(device: str) -> TaskData:
    return TaskData(load_suite("toy").tasks()[0], load_shared_backbone("emoji-clip", device))


def prompted(data: TaskData):
    """A classifier with random prompts, so that images have to be encoded."""
    torch.manual_seed(0)
    model = data.problem(spec_of(data)).classifier()
    model.add("prompts", VisualPrompts(4, model.image_depth, model.image_width))
    return model.eval()


def spec_of(data: TaskData, precision: str = "fp32") -> RunSpec:
    return RunSpec(data.task, data.backbone.spec, MethodSpec("some", "s", "t", ()), TrainingSpec(32, precision), 1)


def test_features_are_cached_from_the_gpu_and_agree_with_the_cpu(own_cache, monkeypatch, tmp_path):
    data = toy_data(DEVICE)
    data.prepare(1)
    there = data.images("test").frozen
    assert len(TaskData(data.task, data.backbone).features.rows) == len(data.features.rows) > 0
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path / "other"))
    here = toy_data("cpu").images("test").frozen
    assert (there * here).sum(axis=1).min() > 0.999


def test_predictions_agree_with_the_cpu_for_different_batch_sizes():
    data, cpu = toy_data(DEVICE), toy_data("cpu")
    images = data.images("test")
    there, features = predict(prompted(data), images, 1024)
    small, _ = predict(prompted(data), images, 7)
    here, _ = predict(prompted(cpu), cpu.images("test"), 128)
    assert features.shape == (len(images), data.features.rows.shape[1])
    assert (there["predicted"] == here["predicted"]).mean() > 0.99
    assert (there["predicted"] == small["predicted"]).mean() > 0.99
    assert (there["p_label"] - here["p_label"]).abs().max() < 0.02


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_training_in_each_precision_learns_and_keeps_full_weights(precision):
    data = toy_data(DEVICE)
    losses = []
    problem = data.problem(spec_of(data, precision), record=losses.append)
    model = problem.classifier()
    model.add("prompts", VisualPrompts(4, model.image_depth, model.image_width))

    def loss(batch):
        return {"forget": uniform_ce(model.logits(batch.images), batch.forget)}

    trained = fit(problem, model, loss, epochs=4, lr=0.02, crop=0.5)
    assert {parameter.dtype for parameter in trained.trainable()} == {torch.float32}
    assert all(parameter.device.type == DEVICE for parameter in trained.trainable())
    assert losses[-1]["forget"] < losses[0]["forget"]


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    monkeypatch.setattr(batches, "_fitting", {})
    device = torch.device(DEVICE)
    _, total = torch.cuda.mem_get_info()
    each = total // 4  # bytes: at most three parts of this size fit

    def work(part: slice) -> int:
        torch.empty((part.stop - part.start) * each, dtype=torch.uint8, device=device)
        return part.stop - part.start

    sizes = list(in_batches(12, 8, device, work))
    assert sum(sizes) == 12
    assert max(sizes) <= 3
    assert torch.cuda.mem_get_info()[0] > each  # the failed parts are freed


def test_a_run_records_the_gpu_memory_that_it_used(tmp_path):
    suite, store = load_suite("toy"), Store(tmp_path)
    planned = plan(suite, Catalogue().select(["baseline[epochs=1]"]), limit=1).runs[0]
    with store.lock(planned.spec.key):
        execute.execute(planned, store, DEVICE)
    run = store.load(planned.spec.key)
    assert 0 < run.measured["peak_memory_mb"] < torch.cuda.get_device_properties(0).total_memory / 2**20
    assert "cpu" not in run.environment["device"]
