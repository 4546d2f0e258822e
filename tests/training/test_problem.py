from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from adu_bench.clip.prompts import VisualPrompts
from adu_bench.core.errors import Diverged
from adu_bench.core.specs import TrainingSpec
from adu_bench.training.loop import fit, learning_rate
from adu_bench.training.losses import memorize
from adu_bench.training.problem import Batch, FullImages


def prompted(problem):
    model = problem.classifier()
    model.add("prompts", VisualPrompts(2, 2, model.image_width))
    return model


def test_a_problem_holds_no_test_images(tiny_problem):
    assert {name for name in vars(tiny_problem) if "test" in name} == set()


def test_an_epoch_has_whole_batches_and_counts_passes(tiny_problem):
    sizes = [len(batch) for batch in tiny_problem.batches()]
    assert sizes == [12, 12, 12]
    assert tiny_problem.image_passes == 36


def test_a_batch_size_above_the_number_of_shots_uses_all(tiny_problem):
    tiny_problem.training = TrainingSpec(1000, "fp32")
    assert [len(batch) for batch in tiny_problem.batches()] == [36]


def test_balanced_batches_have_every_domain_equally(tiny_problem):
    for batch in tiny_problem.batches(balanced=True):
        assert torch.bincount(batch.domains, minlength=3).tolist() == [4, 4, 4]


def test_labels_stay_with_their_images(tiny_problem):
    for batch in tiny_problem.batches(crop=1.0):
        for image, label in zip(batch.images, batch.labels, strict=True):
            source = tiny_problem.train.images.float() / 255
            distance = torch.minimum(
                (source - image).abs().amax(dim=(1, 2, 3)), (source.flip(3) - image).abs().amax(dim=(1, 2, 3))
            )
            assert tiny_problem.train.labels[distance.argmin()] == label
            assert distance.min() < 1e-4


def test_the_rate_follows_dassl():
    """Warm-up for one epoch; the cosine starts at the full rate after it and runs over all epochs."""
    rates = [learning_rate(epoch, 50, 0.0025) for epoch in range(50)]
    assert rates[0] == 1e-5
    assert rates[1] == 0.0025
    assert rates[26] == pytest.approx(0.00125)
    assert rates[-1] == pytest.approx(0.0025 * (1 + math.cos(math.pi * 48 / 50)) / 2)
    cosine = sum(0.0025 * (1 + math.cos(math.pi * epoch / 50)) / 2 for epoch in range(49))
    assert sum(rates) == pytest.approx(1e-5 + cosine)
    assert learning_rate(0, 1, 0.1) == 0.1
    assert learning_rate(0, 9, 1e-6) == 1e-6


def test_batches_are_the_same_whether_or_not_images_are_kept_on_the_device(tiny_problem, monkeypatch):
    def epoch(kept: int) -> torch.Tensor:
        problem = replace(tiny_problem, rng=torch.Generator().manual_seed(4))
        monkeypatch.setattr("adu_bench.training.problem.KEPT_ON_DEVICE", kept)
        return torch.cat([batch.images for batch in problem.batches(crop=0.5)])

    assert epoch(2**31).shape == (36, 3, 16, 16)
    assert torch.equal(epoch(2**31), epoch(0))


def test_images_are_fetched_when_they_are_read_and_once():
    asked = []
    images = torch.zeros(3, 3, 4, 4)
    batch = Batch(lambda: (asked.append(1), images)[1], *(torch.arange(3) for _ in range(4)))
    chosen = batch.select(torch.tensor([2, 0]))
    assert asked == []
    assert chosen.images.shape == (2, 3, 4, 4)
    assert batch.images is images
    assert asked == [1]


def test_training_lowers_the_loss_and_changes_parts_only(tiny_problem):
    model = prompted(tiny_problem)
    logged = []
    tiny_problem.record = logged.append
    weights = {name: value.clone() for name, value in model.model.state_dict().items()}
    prompts = model.parts["prompts"].tokens.clone()
    fit(
        tiny_problem,
        model,
        lambda batch: {"memorize": memorize(model.logits(batch.images), batch.labels, batch.forget)},
        epochs=12,
        lr=0.05,
        crop=1.0,
    )
    assert logged[-1]["memorize"] < logged[0]["memorize"]
    assert not torch.equal(prompts, model.parts["prompts"].tokens)
    assert all(torch.equal(value, weights[name]) for name, value in model.model.state_dict().items())


@pytest.mark.parametrize(("size", "skipped"), [(1.0, 0), (1e34, 3)])
def test_half_precision_logs_the_steps_that_it_skips(tiny_problem, size, skipped):
    tiny_problem.training = TrainingSpec(12, "fp16")
    model, logged = prompted(tiny_problem), []
    tiny_problem.record = logged.append
    before = model.parts["prompts"].tokens.clone()
    fit(tiny_problem, model, lambda batch: {"sum": size * model.logits(batch.images).mean()}, epochs=1, lr=0.1)
    assert logged[-1]["skipped_steps"] == skipped
    assert torch.equal(before, model.parts["prompts"].tokens) == (skipped == 3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_is_an_error(tiny_problem, value):
    model = prompted(tiny_problem)
    with pytest.raises(Diverged, match="broken"):
        fit(tiny_problem, model, lambda batch: {"broken": model.logits(batch.images).sum() * value}, epochs=1, lr=0.1)


@pytest.mark.parametrize("missing", ["domain", "retain", "forget"])
def test_adu_works_with_batches_that_lack_a_group(tiny_problem, missing):
    from adu_bench.registry import Catalogue, load_class

    train, whole_images = tiny_problem.train, tiny_problem.train.images
    rows = {"domain": train.domains != 2, "retain": train.forget, "forget": ~train.forget}[missing]
    tiny_problem.train = train.select(rows)
    whole = tiny_problem.full
    places = torch.nonzero(rows).flatten()
    tiny_problem.full = FullImages(lambda some: whole.load(places.numpy()[some]), whole.extents[places])
    for name in ("adu", "adu-released"):
        choice = Catalogue().select([name])[0]
        spec = choice.resolve({"epochs": 2}, {})
        method = load_class(choice.entry.path, choice.entry.class_name, spec.source_hash)(**dict(spec.fields))
        model = replace(method, prompt_length=2).unlearn(tiny_problem)
        assert torch.isfinite(model.logits(whole_images)).all()
