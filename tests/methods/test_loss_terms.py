"""Loss terms and steps of methods on a batch, compared with closed forms away from the start."""

from __future__ import annotations

import pytest
import torch
from adu_bench._methods import cocoop, l1_sparse, prompt_src, rmu, sfr_on, task_negation
from torch.nn import functional as F

from tests.methods.closed_forms import prepared, stirred


@pytest.fixture(autouse=True)
def seeded(tiny_problem):
    torch.manual_seed(0)
    tiny_problem.rng.manual_seed(0)


def moved(method, problem):
    """Return a classifier that is away from its start, and the loss that trains it."""
    model = stirred(method, problem)
    return model, method.loss(problem, model)


def test_l1_sparse_fits_retain_images_and_pulls_weights_by_their_sign(tiny_problem):
    method = l1_sparse.L1Sparse(epochs=4, penalty=0.01, weights="late")
    model, terms = moved(method, tiny_problem)
    batch = tiny_problem.train
    for _ in range(3):  # the second epoch of four has three quarters of the penalty
        terms(next(tiny_problem.batches()))
    found, kept = terms(batch), ~batch.forget
    expected = F.cross_entropy(model.logits(batch.images)[kept], batch.labels[kept])
    torch.testing.assert_close(found["retain"], expected)
    weight = model.trainable()[0]
    (pull,) = torch.autograd.grad(found["penalty"], weight)
    torch.testing.assert_close(pull, 0.01 * 0.75 * weight.sign())


def test_sfr_on_masks_gradients_and_its_slow_weights_advance(tiny_problem):
    """Each slow step goes half of the way from the last slow weights to those of now: to 1, then to 2."""
    method = sfr_on.SfrOn(epochs=4, every=2, slow=0.5, share=0.5, weights="norms")
    model = prepared(method, tiny_problem)
    terms = method.loss(tiny_problem, model)
    weight = model.trainable()[0]
    begun = weight.detach().clone()
    batches = [batch for _ in range(2) for batch in tiny_problem.batches()]
    for batch in batches[:5]:
        found = terms(batch)
        weight.data += 1
    torch.testing.assert_close(weight.detach(), begun + 2 + 1)
    sum(found.values()).backward()
    assert int((weight.grad == 0).sum()) == weight.numel() // 2


def test_prompt_src_holds_texts_features_and_answers_by_its_weights(tiny_problem):
    model, terms = moved(prompt_src.PromptSrc(), tiny_problem)
    batch, before = tiny_problem.train, tiny_problem.classifier()
    found, kept = terms(batch), ~batch.forget
    text, features, logits = model.text_features(), model.features(batch.images), model.logits(batch.images)
    torch.testing.assert_close(found["texts"], 25 * (text - before.text_features()).abs().mean())
    gone = (features - before.features(batch.images))[kept]
    torch.testing.assert_close(found["images"], 10 * gone.abs().mean())
    teacher = before.logits(batch.images)[kept].softmax(dim=1)
    apart = (teacher * (teacher.log() - logits[kept].log_softmax(dim=1))).mean()
    torch.testing.assert_close(found["answers"], apart, rtol=1e-3, atol=1e-6)


def test_prompt_src_returns_the_average_of_the_prompts_after_each_epoch(tiny_problem, monkeypatch):
    method = prompt_src.PromptSrc(epochs=2, average_at=0.5)
    seen = []

    def two_epochs(problem, model, loss, **_):
        for value in (1.0, 3.0):
            for batch in problem.batches():
                loss(batch)
                with torch.no_grad():
                    for weight in model.trainable():
                        weight.fill_(value)
        seen.append(model)

    monkeypatch.setattr("adu_bench._methods._trained.fit", two_epochs)
    model = method.unlearn(tiny_problem)
    first, second = method.weights()
    assert first > second > 0
    for weight in model.trainable():
        torch.testing.assert_close(weight.detach(), torch.full_like(weight, first + 3 * second))


def test_cocoop_shifts_every_token_by_its_network(tiny_problem):
    model = prepared(cocoop.CoCoOp(), tiny_problem)
    part = model.parts["contexts"]
    features = F.normalize(torch.randn(5, model.feature_width), dim=1)
    into, out = (layer for layer in part.network if isinstance(layer, torch.nn.Linear))
    with torch.no_grad():
        out.weight += torch.randn(out.weight.shape)
    hidden = (features @ into.weight.T + into.bias).clamp(min=0)
    shift = hidden @ out.weight.T + out.bias
    torch.testing.assert_close(part.contexts(features), part.tokens + shift[:, None])
    assert float(shift.detach().std(dim=0).max()) > 0.01


def test_rmu_steers_forget_tokens_to_one_direction_and_keeps_the_others(tiny_problem):
    """Squared distances of tokens, over the squared mean norm, from 3 norms along a positive unit vector."""
    method = rmu.Rmu(coefficient=3.0, alpha=2.0, block=2)
    tiny_problem.rng.manual_seed(4)
    model, terms = moved(method, tiny_problem)
    batch, found = tiny_problem.train, terms(tiny_problem.train)
    direction = torch.rand(model.image_width, generator=torch.Generator().manual_seed(4))
    direction = direction / direction.norm()
    tokens = model.block_features(batch.images, 1)
    before = tiny_problem.classifier().block_features(batch.images, 1)
    norm = before.norm(dim=-1).mean()
    steered = (tokens - 3 * norm * direction)[batch.forget].square().sum(dim=-1).mean() / norm**2
    kept = (tokens - before)[~batch.forget].square().sum(dim=-1).mean() / norm**2
    torch.testing.assert_close(found["forget"], steered)
    torch.testing.assert_close(found["retain"], 2 * kept)


def test_negation_learns_forget_images_and_moves_the_other_way(tiny_problem, monkeypatch):
    method = task_negation.TaskNegation(epochs=3, lr=1e-3, coefficient=0.5)
    tuned_model, terms = moved(method, tiny_problem)
    batch = tiny_problem.train
    expected = F.cross_entropy(tuned_model.logits(batch.images)[batch.forget], batch.labels[batch.forget])
    torch.testing.assert_close(terms(batch)["learn"], expected)
    caught = []
    finish = task_negation.TaskNegation.finish

    def watched(self, problem, model):
        caught.extend(weight.detach().clone() for weight in model.trainable())
        finish(self, problem, model)

    monkeypatch.setattr(task_negation.TaskNegation, "finish", watched)
    model = method.unlearn(tiny_problem)
    forget = tiny_problem.train.select(tiny_problem.train.forget.nonzero().flatten())
    begun = tiny_problem.classifier()
    begun.unfreeze("visual.*")
    for weight, tuned, old in zip(model.trainable(), caught, begun.trainable(), strict=True):
        torch.testing.assert_close(weight - old, -0.5 * (tuned - old), rtol=1e-3, atol=1e-6)
    with torch.no_grad():
        errors = [float(F.cross_entropy(one.logits(forget.images), forget.labels)) for one in (begun, model)]
    assert errors[1] > errors[0]
