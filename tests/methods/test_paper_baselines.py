"""LP++, CLIPFit and BBF compared with closed forms and independent derivations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from adu_bench._methods import bbf, clipfit, lp_plus_plus
from scipy.linalg import eigh
from torch.nn import functional as F

from adu_bench.clip.classifier import Classifier
from adu_bench.core.errors import RunFailed
from adu_bench.core.specs import TrainingSpec
from adu_bench.training.losses import memorize, uniform_ce
from adu_bench.training.problem import FullImages


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def train(tiny_problem):
    return tiny_problem.train


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


# LP++


def test_lp_steps_are_the_eigen_solvers_bounds(tiny_problem, train):
    text = tiny_problem.classifier().text_features()
    equal = torch.full((len(train),), 1 / len(train))
    weight_step, multiplier_step = lp_plus_plus.step_sizes(train.frozen, text, equal)
    features = train.frozen.double().numpy()
    assert weight_step == pytest.approx(4 * len(train) / eigh(features.T @ features, eigvals_only=True)[-1], rel=1e-5)
    sums = ((features @ text.double().numpy().T) ** 2).sum(axis=0)
    assert multiplier_step == pytest.approx(len(train) / (4 * sums.max()), rel=1e-5)


def test_lp_step_is_within_the_curvature_of_the_actual_loss(tiny_problem, train):
    """The Hessian of L_memorize + L_forget over one class's weights is at most the inverse step, at any weights."""
    text = tiny_problem.classifier().text_features()
    step, _ = lp_plus_plus.step_sizes(train.frozen, text, lp_plus_plus.image_weights(train.forget))
    for scale in (0.0, 1.0, 10.0):
        others = scale * torch.randn(len(text), train.frozen.shape[1])

        def loss(own: torch.Tensor, others: torch.Tensor = others) -> torch.Tensor:
            logits = train.frozen @ torch.cat([own[None], others[1:]]).T
            return memorize(logits, train.labels, train.forget) + uniform_ce(logits, train.forget)

        hessian = torch.autograd.functional.hessian(loss, others[0])
        assert eigh(hessian.double().numpy(), eigvals_only=True)[-1] <= 1 / step * (1 + 1e-5)


def test_lp_starts_from_centroids_and_the_mean_own_text_score(tiny_problem, train):
    text = tiny_problem.classifier().text_features()
    probe = lp_plus_plus.BlendedProbe(3, train.frozen.shape[1])
    probe.start(train.frozen, train.labels, text, 250.0)
    own = []
    for label in range(3):
        mine = train.frozen[train.labels == label]
        torch.testing.assert_close(probe.weights[label].detach(), mine.mean(dim=0))
        own.append((mine @ text[label]).mean())
    torch.testing.assert_close(probe.multipliers.detach(), torch.full((3,), 250.0) * torch.stack(own).mean())


def test_lp_first_iteration_follows_the_explicit_gradient(tiny_problem, train):
    """One step of weights and multipliers in numpy: the gradient with respect to a logit is share x (p - target)."""
    text = tiny_problem.classifier().text_features()
    cropped, labels, forget = lp_plus_plus.cropped_features(tiny_problem, tiny_problem.classifier(), 0.5)
    tiny_problem.rng.manual_seed(0)
    method = lp_plus_plus.LpPlusPlus(iterations=1, multiplier_every=1, text_weight=20.0, crop=0.5)
    probe = method.unlearn(tiny_problem).parts["probe"]
    start = lp_plus_plus.BlendedProbe(3, cropped.shape[1])
    start.start(cropped[~forget], labels[~forget], text, 20.0)
    share = lp_plus_plus.image_weights(forget)
    steps = lp_plus_plus.step_sizes(cropped, text, share)
    features, scores = cropped.double().numpy(), (cropped @ text.T).double().numpy()
    weights, multipliers = start.weights.detach().double().numpy(), start.multipliers.detach().double().numpy()
    target = np.where(forget.numpy()[:, None], 1 / 3, np.eye(3)[labels.numpy()])
    slope = share.double().numpy()[:, None] * (softmax(features @ weights.T + multipliers * scores) - target)
    np.testing.assert_allclose(probe.weights.detach(), weights - steps[0] * slope.T @ features, atol=1e-4)
    np.testing.assert_allclose(
        probe.multipliers.detach(), multipliers - steps[1] * (slope * scores).sum(axis=0), atol=1e-4
    )


def test_lp_accumulates_the_gradient_of_its_multipliers(tiny_problem, monkeypatch):
    """As its released code does; the weights' gradient is that of the last iteration alone."""
    taken = []
    backward = torch.Tensor.backward

    def spy(loss: torch.Tensor) -> None:
        backward(loss)
        taken.append(probe[0].multipliers.grad.clone())

    probe = []
    add = Classifier.add
    monkeypatch.setattr(Classifier, "add", lambda *given: probe.append(add(*given)) or probe[0])
    monkeypatch.setattr(torch.Tensor, "backward", spy)
    lp_plus_plus.LpPlusPlus(iterations=3, multiplier_every=2, text_weight=20.0).unlearn(tiny_problem)
    start = lp_plus_plus.BlendedProbe(3, probe[0].weights.shape[1])
    tiny_problem.rng.manual_seed(0)
    features, labels, forget = lp_plus_plus.cropped_features(tiny_problem, tiny_problem.classifier(), 0.08)
    text = tiny_problem.classifier().text_features()
    start.start(features[~forget], labels[~forget], text, 20.0)
    _, step = lp_plus_plus.step_sizes(features, text, lp_plus_plus.image_weights(forget))
    # One step in three iterations, with the sum of the first two gradients.
    expected = start.multipliers.detach() - step * taken[1]
    torch.testing.assert_close(probe[0].multipliers.detach(), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(taken[1], taken[1] - taken[0])


def test_lp_trains_on_cropped_images(tiny_problem):
    """Its features come from one pass; 36 images make three whole batches."""
    model = lp_plus_plus.LpPlusPlus(iterations=2).unlearn(tiny_problem)
    assert tiny_problem.image_passes == 36
    assert model.changed == ()


# CLIPFit


def test_clipfit_changes_exactly_the_named_weights(tiny_problem):
    model = clipfit.ClipFit(epochs=2, lr=0.1).unlearn(tiny_problem)
    norms = ["ln_pre", "ln_post", *(f"transformer.resblocks.{i}.ln_{j}" for i in range(3) for j in (1, 2))]
    named = {f"visual.{norm}.{leaf}" for norm in norms for leaf in ("weight", "bias")}
    named |= {f"transformer.resblocks.{i}.mlp.c_proj.bias" for i in range(2)}
    assert set(model.changed) == named
    before = dict(tiny_problem.backbone.model.named_parameters())
    differing = {name for name, value in model.model.named_parameters() if not torch.equal(value, before[name])}
    assert differing == named


def test_clipfit_distils_towards_the_zero_shot_texts(tiny_problem):
    """The term is zero at the start, and a heavy weight keeps the texts where they were."""
    zero_shot = tiny_problem.classifier().text_features()
    logged = []
    tiny_problem.record = logged.append

    def drift(weight: float) -> float:
        torch.manual_seed(0)
        tiny_problem.rng.manual_seed(0)
        model = clipfit.ClipFit(epochs=6, lr=0.02, distillation=weight).unlearn(tiny_problem)
        with torch.no_grad():
            return float(1 - F.cosine_similarity(model.text_features(), zero_shot).mean())

    loose, held = drift(0.0), drift(20.0)
    assert 0 < held < loose / 2
    assert abs(logged[0]["distillation"]) < 1e-5


def test_clipfit_refuses_towers_without_its_weights(tiny_problem):
    model = tiny_problem.classifier()
    for block in model.model.transformer.resblocks:
        block.mlp.c_proj = torch.nn.Linear(4, 4, bias=False)
    with pytest.raises(RunFailed, match="feed-forward biases"):
        clipfit.tuned_names(model)


# BBF

SMALL = {"iterations": 2, "population": 4, "contexts": 3, "shared": 6, "unique": 2}


def test_bbf_with_a_zero_width_search_returns_the_start(tiny_problem):
    model = bbf.Bbf(**SMALL, sigma=0.0).unlearn(tiny_problem)
    mean = model.text_tower.token_embedding.weight.mean(dim=0)
    torch.testing.assert_close(model.parts["contexts"].tokens[0].detach(), mean.expand(3, -1))


def test_bbf_computes_no_gradient(tiny_problem, monkeypatch):
    """No logits that the search reads require a gradient, and nothing calls backward."""

    def refuse(*values, **named):
        raise AssertionError("a gradient was computed")

    for owner, name in ((torch.Tensor, "backward"), (torch.autograd, "backward"), (torch.autograd, "grad")):
        monkeypatch.setattr(owner, name, refuse)
    answers, original = [], Classifier.logits

    def spy(self, images, frozen=None):
        logits = original(self, images, frozen)
        answers.append(logits)
        return logits

    monkeypatch.setattr(Classifier, "logits", spy)
    model = bbf.Bbf(**SMALL).unlearn(tiny_problem)
    assert len(answers) == 1 + 2 * 4
    assert not any(logits.requires_grad for logits in answers)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_bbf_puts_contexts_before_the_bare_class_name(tiny_problem):
    model = tiny_problem.classifier()
    part = model.add("contexts", bbf.BareContexts(3, 1, model.text_width))
    tokens = part.text_tokens(model._class_tokens)
    bare = tiny_problem.backbone.tokenizer([f"{name}." for name in model.classes])
    assert torch.equal(tokens[:, 0], bare[:, 0])
    assert torch.equal(tokens[:, 4:], bare[:, 1:-3])


def test_latents_are_shared_between_contexts_and_every_search_learns():
    sizes = bbf.Bbf(population=8, contexts=3, shared=4, unique=2)
    search = bbf.LatentContextSearch(sizes, seed=1)

    def loss(shared: np.ndarray, unique: np.ndarray) -> float:
        return float(((shared - 1) ** 2).sum() + ((unique + 2) ** 2).sum())

    first = None
    for _ in range(80):
        asked = search.ask()
        losses = [loss(*latents) for latents in asked]
        first = first or min(losses)
        search.tell(asked, losses)
    assert [part.shape for part in asked[0]] == [(4,), (3, 2)]
    # With latent context sharing all searches get the same loss, so the others are noise for each.
    assert min(losses) < first / 4
    shared, unique = asked[int(np.argmin(losses))]
    assert shared.mean() > 0.3
    assert unique.mean() < -0.6


def test_bbf_returns_the_candidate_with_the_least_loss(tiny_problem, train):
    logged = []
    tiny_problem.record = logged.append
    model = bbf.Bbf(**SMALL).unlearn(tiny_problem)
    with torch.no_grad():
        logits = model.logits(None, frozen=train.frozen)
    loss = float(memorize(logits, train.labels, train.forget) + uniform_ce(logits, train.forget))
    assert loss == pytest.approx(logged[-1]["least_loss"], rel=1e-5)
    assert loss <= min(values["loss"] for values in logged) * (1 + 1e-5)


# Published settings


@pytest.fixture(scope="module")
def large_backbone():
    """ViT-B/16 with OpenAI's architecture and random weights."""
    import open_clip

    from adu_bench.clip.backbone import Backbone
    from adu_bench.core.specs import BackboneSpec
    from adu_bench.data.preprocessing import Preprocessing

    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-16-quickgelu", pretrained=None).eval().requires_grad_(False)
    half = torch.full((3, 1, 1), 0.5)
    return Backbone(
        BackboneSpec("ViT-B-16-quickgelu:random", "r" * 20),
        model,
        open_clip.get_tokenizer("ViT-B-16-quickgelu"),
        Preprocessing(224, "bicubic", "shortest"),
        half,
        half,
        torch.device("cpu"),
    )


@pytest.fixture
def large_problem(large_backbone, tiny_problem):
    """One batch of four images of two classes and two domains at 224 pixels."""
    images = torch.randint(0, 256, (4, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    labels, domains = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
    batch = replace(
        tiny_problem.train,
        source=images,
        labels=labels,
        domains=domains,
        forget=domains == 1,
        frozen=large_backbone.image_features(images),
    )
    task = replace(tiny_problem.task, domains=("a", "b"), classes=("house", "tree"))
    canvases = np.zeros((4, 448, 448, 3), np.uint8)
    canvases[:, :224, :224] = images.permute(0, 3, 2, 1).numpy()
    return replace(
        tiny_problem,
        task=task,
        backbone=large_backbone,
        train=batch,
        full=FullImages(lambda places: canvases[places], torch.full((4, 4), 224, dtype=torch.int32)),
        training=TrainingSpec(128, "fp32"),
    )


def test_lp_at_its_published_settings(large_problem):
    model = lp_plus_plus.LpPlusPlus().unlearn(large_problem)
    assert model.parts["probe"].weights.shape == (2, 512)
    with torch.no_grad():
        assert torch.isfinite(model.logits(None, frozen=large_problem.train.frozen)).all()


def test_clipfit_at_its_published_settings(large_problem):
    model = clipfit.ClipFit(epochs=1).unlearn(large_problem)
    norms = 2 * (2 + 2 * 12)
    assert len(model.changed) == norms + 12
    assert sum(parameter.numel() for parameter in model.trainable()) == norms * 768 + 12 * 512
    before = dict(large_problem.backbone.model.named_parameters())
    weights = dict(model.model.named_parameters())
    assert all(not torch.equal(weights[name], before[name]) for name in model.changed if "c_proj" in name)


def test_bbf_at_its_published_settings(large_problem):
    logged = []
    large_problem.record = logged.append
    method = bbf.Bbf(iterations=1)
    model = method.unlearn(large_problem)
    assert (method.population, method.contexts, method.shared, method.unique) == (20, 16, 400, 100)
    assert model.parts["contexts"].tokens.shape == (1, 16, 512)
    assert np.isfinite(logged[-1]["loss"])


def test_bbf_tokenises_once_and_not_for_every_candidate(tiny_problem):
    calls = []
    backbone = tiny_problem.backbone
    counted = replace(backbone, tokenizer=lambda *values: (calls.append(1), backbone.tokenizer(*values))[1])
    method = bbf.Bbf(iterations=3, population=4, contexts=2, shared=4, unique=2)
    method.unlearn(replace(tiny_problem, backbone=counted))
    # The class prompts, the same with a longer context to see whether any is cut, and the bare names.
    assert len(calls) == 3
