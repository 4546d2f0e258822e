"""Unlearning methods that change weights, compared with closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from adu_bench._methods import (
    _trained,
    anchored,
    bad_teacher,
    l1_sparse,
    neg_grad,
    random_label,
    rmu,
    salun,
    scrub,
    sfr_on,
    slug,
    spotter,
    ssd,
    task_negation,
)
from torch.nn import functional as F

from adu_bench.core.errors import RunFailed
from tests.methods.closed_forms import assert_same_terms, divergence, errors, prepared, stirred

FAST = {"epochs": 3, "lr": 0.05}


@pytest.fixture(autouse=True)
def seeded(tiny_problem):
    torch.manual_seed(0)
    tiny_problem.rng.manual_seed(0)


def start(problem, model):
    named = dict(problem.backbone.model.named_parameters())
    return {name: named[name].detach() for name in model.changed}


def test_chosen_weights_are_those_stated(tiny_problem):
    every = {name for name, _ in tiny_problem.backbone.model.named_parameters() if name.startswith("visual.")}
    changed = {w: set(prepared(neg_grad.NegGrad(weights=w), tiny_problem).changed) for w in ("visual", "late", "norms")}
    assert changed["visual"] == every
    assert changed["norms"] == {name for name in every if ".ln_" in name}
    assert {name for name in changed["late"] if ".resblocks.0." in name} == set()
    assert any(".resblocks.2." in name for name in changed["late"])


def test_neg_grad_is_descent_minus_ascent_up_to_the_cap(tiny_problem):
    method = neg_grad.NegGrad(ascent=2.0, cap=1.0)
    model = prepared(method, tiny_problem)
    batch = next(tiny_problem.batches())
    values = F.cross_entropy(model.logits(batch.images), batch.labels, reduction="none").detach()
    terms = method.loss(tiny_problem, model)(batch)
    assert float(terms["retain"]) == pytest.approx(float(values[~batch.forget].mean()), rel=1e-4)
    capped = values[batch.forget].clamp(max=1.0).mean()
    assert float(terms["forget"]) == pytest.approx(-2 * float(capped), rel=1e-4)
    # Above the cap there is no gradient.
    high = torch.tensor([9.0], requires_grad=True)
    high.clamp(max=6.0).sum().backward()
    assert float(high.grad) == 0


def test_the_margin_bends_at_the_uniform_answer_and_is_bounded_below():
    for classes in (2, 15):
        labels = torch.arange(classes)
        uniform = torch.zeros(classes, classes)
        assert torch.allclose(anchored.above_chance(uniform, labels), torch.full((classes,), math.log(2)))
        # A true class of probability p has odds (C - 1) p / (1 - p) over those of chance.
        chances = torch.tensor([0.1, 0.5, 0.9])
        rest = ((1 - chances) / (classes - 1))[:, None].repeat(1, classes)
        logits = rest.scatter(1, torch.zeros(3, 1, dtype=torch.int64), chances[:, None]).log()
        expected = torch.log1p((classes - 1) * chances / (1 - chances))
        assert torch.allclose(anchored.above_chance(logits, torch.zeros(3, dtype=torch.int64)), expected, atol=1e-5)
    assert float(anchored.above_chance(torch.tensor([[-80.0, 0.0]]), torch.tensor([0]))) >= 0


def test_zero_shot_clip_is_anchored_to_itself(tiny_problem):
    method = anchored.Anchored()
    model = prepared(method, tiny_problem)
    terms = method.loss(tiny_problem, model)(next(tiny_problem.batches()))
    assert float(terms["anchor"]) == pytest.approx(0, abs=1e-4)
    assert float(terms["match"]) == pytest.approx(0, abs=1e-4)
    retain = tiny_problem.train.select((~tiny_problem.train.forget).nonzero()[:, 0])
    apart = {}
    for anchor in (0.0, 100.0):
        tiny_problem.rng.manual_seed(0)
        trained = anchored.Anchored(epochs=3, lr=0.01, anchor=anchor).unlearn(tiny_problem)
        with torch.no_grad():
            apart[anchor] = float((1 - (trained.features(retain.images) * retain.frozen).sum(dim=-1)).mean())
    assert 0 < apart[100.0] < apart[0.0]


def test_random_labels_are_wrong_for_forget_images_and_right_for_others(tiny_problem, monkeypatch):
    seen = []

    def spy(logits, labels):
        seen.append(labels)
        return _trained.cross_entropies(logits, labels)

    monkeypatch.setattr(random_label, "cross_entropies", spy)
    method = random_label.RandomLabel()
    model = prepared(method, tiny_problem)
    terms = method.loss(tiny_problem, model)
    batch = next(tiny_problem.batches())
    given = terms(batch)
    for _ in range(10):
        terms(batch)
    expected = errors(model.logits(batch.images), seen[0]).detach()
    torch.testing.assert_close(given["retain"].detach(), expected[~batch.forget].mean(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(given["forget"].detach(), expected[batch.forget].mean(), atol=1e-5, rtol=1e-4)
    drawn = torch.stack(seen)
    assert ((drawn == batch.labels) == ~batch.forget).all()
    assert (drawn[:, batch.forget] != drawn[0, batch.forget]).any()


def test_salun_leaves_unmasked_weights_bit_for_bit_through_momentum(tiny_problem):
    method = salun.SalUn(share=0.4, decay=0.1, **FAST)
    found = []
    original = salun.masks
    masks = lambda saliency, share: found.append(original(saliency, share)) or found[-1]  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(salun, "masks", masks)
        model = method.unlearn(tiny_problem)
    before, named = start(tiny_problem, model), dict(model.model.named_parameters())
    order = [name for name, _ in model.model.named_parameters() if name in before]
    moved = 0
    for name, mask in zip(order, found[0], strict=True):
        still = mask == 0
        assert torch.equal(named[name][still], before[name][still]), name
        moved += int((named[name] != before[name]).sum())
    total = sum(mask.numel() for mask in found[0])
    assert sum(float(mask.sum()) for mask in found[0]) == round(0.4 * total)
    assert moved > 0.2 * total


def test_saluns_saliency_is_the_size_of_the_forget_losss_gradient(tiny_problem, monkeypatch):
    asked = []
    monkeypatch.setattr(salun, "masks", lambda saliency, share: asked.append(saliency) or saliency)
    method = salun.SalUn(weights="norms")
    model, train = stirred(method, tiny_problem), tiny_problem.train
    wrong = errors(model.logits(train.images), train.labels)[train.forget].mean()
    gradients = torch.autograd.grad(wrong, model.trainable())
    method.loss(tiny_problem, model)
    for found, gradient in zip(asked[0], gradients, strict=True):
        torch.testing.assert_close(found, gradient.abs(), atol=1e-6, rtol=1e-3)


def test_saluns_decay_moves_a_weight_by_the_decay_times_its_value_where_it_may_change(tiny_problem):
    method = salun.SalUn(decay=0.3, share=0.4, weights="norms")
    model = stirred(method, tiny_problem)
    decay = method.loss(tiny_problem, model)(next(tiny_problem.batches()))["decay"]
    found = torch.cat([gradient.flatten() for gradient in torch.autograd.grad(decay, model.trainable())])
    whole = 0.3 * torch.cat([weight.detach().flatten() for weight in model.trainable()])
    torch.testing.assert_close(found, torch.where(found != 0, whole, 0.0))
    assert int((found != 0).sum()) == round(0.4 * len(whole))


def test_masks_choose_the_largest_over_all_tensors():
    first, second = salun.masks([torch.tensor([1.0, 5.0]), torch.tensor([[4.0, 0.0]])], 0.5)
    assert first.tolist() == [0, 1]
    assert second.tolist() == [[1, 0]]


def test_scrub_alternates_and_rewinds_to_the_nearest_loss(tiny_problem):
    assert [scrub.maximises(epoch, 3) for epoch in range(8)] == [True, False, True, False, True, False, False, False]
    model = prepared(scrub.Scrub(weights="norms"), tiny_problem)
    states, weight = scrub.States(model), model.trainable()[0]
    for value, loss in ((1.0, 0.3), (2.0, 1.2), (3.0, 9.0)):
        weight.data.fill_(value)
        states.keep(torch.tensor(loss))
    assert states.restore(torch.tensor(math.log(3))) == 1
    assert (weight == 2).all()


def test_scrubs_divergence_is_zero_at_the_teacher(tiny_problem):
    method = scrub.Scrub(epochs=4, max_epochs=1, rewind=True)
    logged = []
    tiny_problem.record = logged.append
    method.unlearn(tiny_problem)
    assert [bool(entry["retain"]) for entry in logged if "epoch" in entry] == [False, True, True, True]
    assert 1 <= logged[-1]["rewound_to_epoch"] <= 4
    logits = torch.randn(4, 3)
    assert _trained.divergences(logits, logits, 2.0).abs().max() < 1e-6
    p, q = logits.softmax(1), torch.zeros(4, 3).softmax(1)
    torch.testing.assert_close(_trained.divergences(torch.zeros(4, 3), logits), (p * (p / q).log()).sum(1))


def test_scrub_leaves_the_teacher_on_forget_images_in_one_epoch_and_keeps_to_it_on_retain_images_in_the_next(
    tiny_problem,
):
    """The divergence of answers at temperature 2 counts four times, as in distillation."""
    method = scrub.Scrub(alpha=0.3, gamma=0.7, temperature=2.0, rewind=False)
    model, zero_shot = stirred(method, tiny_problem), tiny_problem.classifier()
    terms = method.loss(tiny_problem, model)
    batches = [*tiny_problem.batches(), *tiny_problem.batches()]
    found = [terms(batch) for batch in batches]
    none = torch.zeros(())
    for place in (0, 3):
        batch = batches[place]
        logits, teacher = model.logits(batch.images), zero_shot.logits(batch.images)
        apart = 4 * divergence(teacher / 2, logits / 2)
        expected = {"away": -apart[batch.forget].mean(), "near": none, "retain": none}
        if place == 3:
            wrong = errors(logits, batch.labels)
            near, retain = 0.3 * apart[~batch.forget].mean(), 0.7 * wrong[~batch.forget].mean()
            expected = {"away": none, "near": near, "retain": retain}
        assert_same_terms(found[place], expected, model.trainable())


def test_scrub_returns_the_epoch_whose_forget_loss_is_nearest_to_that_of_a_uniform_answer(tiny_problem, monkeypatch):
    train, model = tiny_problem.train, stirred(scrub.Scrub(), tiny_problem)
    wrong = errors(model.logits(train.images), train.labels)[train.forget].mean()
    assert float(scrub.forget_loss(tiny_problem, model)) == pytest.approx(wrong.item(), rel=1e-4)
    losses = iter([0.1, 1.3, 0.7, 3.0])  # the logarithm of 3 classes is 1.1
    monkeypatch.setattr(scrub, "forget_loss", lambda *_: torch.tensor(next(losses)))
    logged = []
    tiny_problem.record = logged.append
    scrub.Scrub(epochs=4, weights="norms").unlearn(tiny_problem)
    assert logged[-1] == {"rewound_to_epoch": 2}


def test_bad_teachers_terms_are_divergences_from_zero_shot_and_uniform(tiny_problem):
    method = bad_teacher.BadTeacher()
    model = prepared(method, tiny_problem)
    batch = next(tiny_problem.batches())
    terms = method.loss(tiny_problem, model)(batch)
    assert abs(float(terms["retain"])) < 1e-4
    logits = model.logits(batch.images)[batch.forget]
    uniform = -F.log_softmax(logits, dim=1).mean(dim=1) - math.log(3)
    assert float(terms["forget"]) == pytest.approx(float(uniform.mean()), rel=1e-3)


def test_the_l1_penalty_falls_to_zero_linearly(tiny_problem):
    logged = []
    tiny_problem.record = logged.append
    l1_sparse.L1Sparse(epochs=4, lr=1e-12, penalty=1e-3, weights="norms").unlearn(tiny_problem)
    norms = prepared(l1_sparse.L1Sparse(weights="norms"), tiny_problem).trainable()
    size = 1e-3 * sum(float(weight.abs().sum()) for weight in norms)
    assert [entry["penalty"] for entry in logged] == pytest.approx(
        [size, 0.75 * size, 0.5 * size, 0.25 * size], rel=1e-4
    )


def test_sfr_on_keeps_the_largest_gradients_and_goes_part_of_the_way_back(tiny_problem):
    gradient = torch.tensor([[0.1, -3.0], [2.0, 0.2]])
    assert sfr_on.salient(gradient, 0.5).tolist() == [[0, -3], [2, 0]]
    whole = {"epochs": 1, "lr": 1e-3, "weights": "norms", "every": 2}
    method = sfr_on.SfrOn(slow=0.0, **whole)
    model = prepared(method, tiny_problem)
    terms = method.loss(tiny_problem, model)
    weight = model.trainable()[0]
    before = weight.detach().clone()
    batches = list(tiny_problem.batches())
    for batch in batches:
        terms(batch)
        if batch is not batches[-1]:
            weight.data += 1
    assert torch.equal(weight, before)


def test_mean_cosine_counts_pairs_of_one_class_among_the_chosen():
    features = F.normalize(torch.randn(6, 5), dim=1)
    labels, chosen = torch.tensor([0, 0, 1, 0, 1, 1]), torch.tensor([True, True, True, True, False, True])
    pairs = [(0, 1), (0, 3), (1, 3), (2, 5)]
    expected = sum(float(features[a] @ features[b]) for a, b in pairs) / len(pairs)
    assert float(spotter.mean_cosine(features, labels, chosen)) == pytest.approx(expected, rel=1e-5)
    assert float(spotter.mean_cosine(features, labels, torch.zeros(6, dtype=torch.bool))) == 0


def test_spotter_teaches_other_classes_on_forget_images_and_the_whole_answer_on_others(tiny_problem):
    method = spotter.Spotter(dispersion=2.0)
    model = stirred(method, tiny_problem)
    terms = method.loss(tiny_problem, model)
    batch, start_model = tiny_problem.train, tiny_problem.classifier()
    found = terms(batch)
    student, teacher = model.logits(batch.images).log_softmax(1), start_model.logits(batch.images).softmax(1)
    others = teacher * (1 - F.one_hot(batch.labels, 3))
    others = others / others.sum(1, keepdim=True)
    forget = batch.forget
    masked = F.kl_div(student[forget], others[forget], reduction="batchmean")
    near = F.kl_div(student[~forget], teacher[~forget], reduction="batchmean")
    cosines = spotter.mean_cosine(model.features(batch.images), batch.labels, forget)
    torch.testing.assert_close(found["forget"], 0.7 * masked)
    torch.testing.assert_close(found["retain"], 0.3 * near, atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(found["dispersion"], 2 * cosines)
    assert min(masked, near, cosines.abs()) > 1e-4


def test_rmu_changes_its_blocks_only_and_its_retain_term_starts_at_zero(tiny_problem):
    method = rmu.Rmu(epochs=1)
    logged = []
    tiny_problem.record = logged.append
    model = prepared(method, tiny_problem)
    assert {name.split(".")[3] for name in model.changed} == {"0", "1"}
    terms = method.loss(tiny_problem, model)(next(tiny_problem.batches()))
    assert abs(float(terms["retain"])) < 1e-6
    assert float(terms["forget"]) > 1


def test_negation_with_coefficient_zero_is_the_start_and_minus_one_times_the_change_otherwise(tiny_problem):
    same = task_negation.TaskNegation(coefficient=0.0, **FAST).unlearn(tiny_problem)
    named = dict(same.model.named_parameters())
    for name, value in start(tiny_problem, same).items():
        assert torch.equal(named[name], value)
    tiny_problem.rng.manual_seed(0)
    away = task_negation.TaskNegation(coefficient=1.0, epochs=1, lr=1e-3).unlearn(tiny_problem)
    tiny_problem.rng.manual_seed(0)
    half = task_negation.TaskNegation(coefficient=0.5, epochs=1, lr=1e-3).unlearn(tiny_problem)
    before, far, near = start(tiny_problem, away), *(dict(m.model.named_parameters()) for m in (away, half))
    name = "visual.proj"
    torch.testing.assert_close(near[name] - before[name], (far[name] - before[name]) / 2, atol=1e-6, rtol=1e-3)


def test_negation_chooses_the_largest_coefficient_that_keeps_the_control(tiny_problem):
    logged = []
    tiny_problem.record = logged.append
    model = task_negation.TaskNegation(epochs=1, lr=1e-6, grid=4).unlearn(tiny_problem)
    assert logged[-1]["coefficient"] == 1.0
    assert model.changed


def test_ssd_equals_its_formula_on_two_parameters():
    """One weight matters 40 times more to forget images than to all; the other 5 times, below alpha."""
    forget, every = torch.tensor([4.0, 0.5]), torch.tensor([0.1, 0.1])
    torch.testing.assert_close(ssd.dampening_factor(forget, every, 10.0, 1.0), torch.tensor([0.1 / 4.0, 1.0]))
    torch.testing.assert_close(ssd.dampening_factor(forget, every, 3.0, 8.0), torch.tensor([0.2, 1.0]))
    assert ssd.dampening_factor(torch.zeros(1), torch.zeros(1), 10.0, 1.0).tolist() == [1.0]


def test_information_is_the_mean_square_of_batches_gradients():
    weight = torch.nn.Parameter(torch.tensor([2.0, 3.0]))
    loss = lambda x: (weight * x).sum() ** 2  # noqa: E731
    batches = [torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])]
    (found,) = _trained.gradients(batches, [weight], loss, power=2)
    torch.testing.assert_close(found, (torch.tensor([4.0, 0.0]) ** 2 + torch.tensor([10.0, 10.0]) ** 2) / 2)


@pytest.mark.parametrize("label_free", [False, True])
def test_ssd_dampens_by_the_information_of_each_form(tiny_problem, label_free):
    """Squared gradients of the cross-entropy, or absolute ones of the logits' squared norm; forget against all."""
    model = tiny_problem.classifier()
    (weight,) = model.unfreeze("visual.proj")

    def information(rows):
        found = torch.zeros_like(weight)
        for row in rows:
            batch = tiny_problem.train.select(torch.tensor([row]))
            logits = model.logits(batch.images)[0]
            loss = logits.square().sum() if label_free else -logits.log_softmax(0)[batch.labels[0]]
            (gradient,) = torch.autograd.grad(loss, weight)
            found += (gradient.abs() if label_free else gradient.square()) / len(rows)
        return found

    forget = tiny_problem.train.forget.nonzero().flatten().tolist()
    own, every = information(forget), information(range(len(tiny_problem.train)))
    factor = torch.where(own > 1.2 * every, (0.5 * every / own).clamp(max=1), 1.0)
    assert 0 < (factor < 1).float().mean() < 1
    done = ssd.Ssd(alpha=1.2, dampening=0.5, images_per_batch=1, label_free=label_free).unlearn(tiny_problem)
    torch.testing.assert_close(
        dict(done.model.named_parameters())["visual.proj"], weight * factor, rtol=1e-4, atol=1e-7
    )


def test_ssd_and_its_label_free_form_dampen_weights_towards_zero(tiny_problem):
    for label_free in (False, True):
        model = ssd.Ssd(alpha=1.0, label_free=label_free).unlearn(tiny_problem)
        named = dict(model.model.named_parameters())
        before = start(tiny_problem, model)
        assert all((named[name].abs() <= value.abs()).all() for name, value in before.items())
        assert any((named[name] != value).any() for name, value in before.items())


def test_the_front_has_the_layers_that_no_other_beats_in_both():
    assert slug.front([3.0, 2.0, 1.0, 2.5], [0.5, 0.1, 0.2, 0.6]) == [0, 1]


def test_slug_changes_one_layer_along_its_gradient(tiny_problem):
    model = slug.Slug(iterations=3, layers=2).unlearn(tiny_problem)
    named, before = dict(model.model.named_parameters()), start(tiny_problem, model)
    assert sum(not torch.equal(named[name], value) for name, value in before.items()) <= 1


@pytest.fixture
def matrices(tiny_problem):
    """The image tower's matrices, with the gradients of the forget images' 1 - cos and the retain images' error."""
    model, train = tiny_problem.classifier(), tiny_problem.train
    names = [name for name, w in model.model.named_parameters() if name.startswith("visual.") and w.dim() > 1]
    weights = model.unfreeze(*names)
    cosines = (model.features(train.images) * model.text_features().detach()[train.labels]).sum(dim=1)
    wrong = errors(model.logits(train.images), train.labels)
    forget = torch.autograd.grad(1 - cosines[train.forget].mean(), weights, retain_graph=True)
    retain = torch.autograd.grad(wrong[~train.forget].mean(), weights)
    return [(w.detach(), a, b) for w, a, b in zip(weights, forget, retain, strict=True)]


def watch_slug(monkeypatch, scores):
    """Give the search these scores in turn, and return the list of the matrices that it sees."""
    seen, given = [], iter(scores)

    def score(problem, model):
        seen.append([weight.detach().clone() for weight in model.trainable()])
        return next(given)

    monkeypatch.setattr(slug, "few_shot_h", score)
    return seen


def test_slug_tries_the_matrices_that_matter_most_to_forget_images_and_least_to_retain_images(
    tiny_problem, monkeypatch, matrices
):
    importance = [float(a.norm() / w.norm()) for w, a, _ in matrices]
    cosine = [float((a * b).sum() / a.norm() / b.norm()) for _, a, b in matrices]
    assert min(cosine) < 0 < max(cosine)
    places = range(len(matrices))
    front = [
        i for i in places if not any(importance[j] > importance[i] and abs(cosine[j]) < abs(cosine[i]) for j in places)
    ]
    seen = watch_slug(monkeypatch, [0.5] * len(front))
    slug.Slug(iterations=1, layers=99).unlearn(tiny_problem)
    tried = [[i for i in places if not torch.equal(now[i], matrices[i][0])] for now in seen]
    assert tried == [[i] for i in sorted(front, key=lambda i: -importance[i])]


def test_slug_climbs_the_forget_gradient_by_the_best_of_the_steps(tiny_problem, monkeypatch, matrices):
    """Steps are 1 and 1/2 of the largest, then 1.25 times the better of these, the second."""
    place = max(range(len(matrices)), key=lambda i: float(matrices[i][1].norm() / matrices[i][0].norm()))
    weight, gradient, _ = matrices[place]
    largest = 0.2 * gradient * weight.norm() / gradient.norm()
    seen = watch_slug(monkeypatch, [0.2, 0.5, 0.4])
    model = slug.Slug(iterations=3, layers=1, largest=0.2).unlearn(tiny_problem)
    expected = [weight + share * largest for share in (1.0, 0.5, 0.625, 0.5)]
    found = [now[place] for now in [*seen, model.trainable()]]
    for own, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(own.detach() - weight, wanted - weight, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(
    "method", [ssd.Ssd(), slug.Slug(), task_negation.TaskNegation(), salun.SalUn()], ids=lambda m: m.card.name
)
def test_methods_that_need_forget_images_say_so(method, tiny_problem):
    tiny_problem.train.forget[:] = False
    with pytest.raises(RunFailed, match="no image"):
        method.unlearn(tiny_problem)
