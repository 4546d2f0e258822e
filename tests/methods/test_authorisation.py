"""NTL, CUTI-Domain, IP-CLIP and AoD-IP compared with closed forms."""

from __future__ import annotations

import pytest
import torch
from adu_bench._methods import aod_ip, cuti_domain, ip_clip, ntl
from torch.nn import functional as F

from tests.methods.closed_forms import assert_same_terms, divergence, errors, prepared, stirred


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def inverted(images, chosen):
    """Stand in for the change of style, which draws its partners."""
    return torch.where(chosen[:, None, None, None], 1 - images, images)


def kernel_distance(x, forget):
    count = len(x)
    squared = (x[:, None] - x[None]).square().sum(dim=2)
    middle = squared.detach().sum() / (count**2 - count)
    kernel = sum(torch.exp(-squared / (middle * 2.0**p)) for p in (-2, -1, 0, 1, 2))
    a, b = forget.nonzero()[:, 0], (~forget).nonzero()[:, 0]
    return kernel[a][:, a].mean() + kernel[b][:, b].mean() - 2 * kernel[a][:, b].mean()


def test_ntls_product_is_bounded_and_equals_its_formula():
    for error, distance in ((1e6, 1e6), (1e6, 0.5), (3.0, 0.5), (0.0, 9.0)):
        value = ntl.bounded_product(torch.tensor(error), torch.tensor(distance), 0.1, 0.1)
        assert float(value) == pytest.approx(min(1, 0.1 * error) * min(1, 0.1 * distance))
        assert 0 <= float(value) <= 1


def test_ntls_mmd_is_the_sum_over_kernels_and_zero_without_a_group():
    x, forget = torch.randn(7, 4), torch.tensor([True, False, True, False, False, True, False])
    expected = kernel_distance(x, forget)
    assert float(ntl.multi_kernel_mmd(x, forget)) == pytest.approx(float(expected), rel=1e-4)
    assert float(ntl.multi_kernel_mmd(x, torch.zeros(7, dtype=torch.bool))) == 0


def test_ntl_is_right_on_the_source_and_errs_far_away_on_the_target(tiny_problem):
    method = ntl.Ntl(alpha=0.1, beta=0.1)
    model, batch = stirred(method, tiny_problem), next(tiny_problem.batches())
    features = model.features(batch.images)
    wrong = errors(model.classify(features), batch.labels)
    target, distance = wrong[batch.forget].mean(), kernel_distance(features, batch.forget)
    assert 0 < 0.1 * target < 1
    expected = {"retain": wrong[~batch.forget].mean(), "product": -(0.1 * target) * (0.1 * distance)}
    assert_same_terms(method.loss(tiny_problem, model)(batch), expected, model.trainable())


def test_the_loss_of_ntl_is_at_least_the_retain_error_minus_one(tiny_problem):
    method = ntl.Ntl(alpha=1e6, beta=1e6)
    model = prepared(method, tiny_problem)
    terms = method.loss(tiny_problem, model)(next(tiny_problem.batches()))
    assert float(terms["product"]) == pytest.approx(-1)


def test_restyled_images_have_the_statistics_of_others():
    images = torch.rand(6, 3, 16, 16) * 0.2 + torch.linspace(0.2, 0.6, 6)[:, None, None, None]
    chosen = torch.tensor([True, False, True, False, False, True])
    made = cuti_domain.restyled(images, chosen)
    assert torch.equal(made[~chosen], images[~chosen])
    means, others = made.mean(dim=(2, 3)), images[~chosen].mean(dim=(2, 3))
    for image in means[chosen]:
        assert (others - image).abs().amax(dim=1).min() < 1e-4
    for every in (torch.ones(6, dtype=torch.bool), torch.zeros(6, dtype=torch.bool)):
        assert torch.equal(cuti_domain.restyled(images, every), images)


def test_cuti_takes_the_target_and_the_isolation_domain_in_turn(tiny_problem, monkeypatch):
    asked = []
    monkeypatch.setattr(cuti_domain, "restyled", lambda images, chosen: asked.append(chosen) or images)
    cuti_domain.CutiDomain(epochs=2, weights="norms").unlearn(tiny_problem)
    assert len(asked) == 3  # of six steps


def test_cuti_raises_the_forget_images_error_in_both_styles(tiny_problem, monkeypatch):
    monkeypatch.setattr(cuti_domain, "restyled", inverted)
    method = cuti_domain.CutiDomain(alpha=0.1)
    model, batches = stirred(method, tiny_problem), list(tiny_problem.batches())
    terms = method.loss(tiny_problem, model)
    for step in (0, 1):
        batch = batches[step]
        images = inverted(batch.images, batch.forget) if step else batch.images
        wrong = errors(model.logits(images), batch.labels)
        assert 0 < 0.1 * wrong[batch.forget].mean() < 1
        expected = {"retain": wrong[~batch.forget].mean(), "bounded": -0.1 * wrong[batch.forget].mean()}
        assert_same_terms(terms(batch), expected, model.trainable())


def test_ip_clips_terms_are_clamped_and_its_tokens_fit(tiny_problem):
    method = ip_clip.IpClip(clamp=0.01)
    model = prepared(method, tiny_problem)
    part = model.parts["contexts"]
    assert part.length == 4 + 2 * min(12, (ip_clip.context_room(model, tiny_problem.classes) - 4) // 2)
    terms = method.loss(tiny_problem, model)(next(tiny_problem.batches()))
    for name in ("target", "enhanced_source", "enhanced_target"):
        assert float(terms[name]) == pytest.approx(-0.01)
    assert -0.001 <= float(terms["style"]) <= 0
    context = part.contexts(tiny_problem.train.frozen)
    style = part.style(tiny_problem.train.frozen)
    count = style.shape[1]
    assert torch.equal(context[:, :count], context[:, count : 2 * count])
    assert torch.equal(context[:, :count], style)


def test_class_means_are_those_of_the_group(tiny_problem):
    train = tiny_problem.train
    bank = ip_clip.class_means(tiny_problem, True)
    for label in range(3):
        chosen = train.forget & (train.labels == label)
        torch.testing.assert_close(bank[label], train.frozen[chosen].mean(dim=0))


def test_attention_reads_banks_through_frozen_layers_with_batch_normalisation():
    attention = ip_clip.Attention(16)
    assert not any(weight.requires_grad for weight in attention.parameters())
    chosen = torch.tensor([True, False, True, True])
    features, banks = F.normalize(torch.randn(4, 16), dim=1), torch.randn(2, 3, 16)
    first, second, third = attention.before
    norms = [torch.nn.BatchNorm1d(2) for _ in range(2)]
    layers = torch.nn.Sequential(first, norms[0], torch.nn.ReLU(), second, norms[1], torch.nn.ReLU(), third).train()
    query = layers(features[chosen])[:, :16]
    for found, bank in zip(attention(features, chosen, *banks), banks, strict=True):
        _, key, value = layers(bank).chunk(3, dim=1)
        seen = (0.1 * query @ key.T).softmax(dim=1) @ value
        expected = F.normalize(features[chosen] + seen @ attention.after.weight.T + attention.after.bias, dim=1)
        torch.testing.assert_close(found[chosen], expected)


def test_retain_images_take_forget_images_in_turn_as_partners():
    forget = torch.tensor([False, True, False, False, True])
    found = ip_clip.partners(forget)
    assert found[~forget].tolist() == [1, 4, 1]
    assert ip_clip.partners(torch.zeros(2, dtype=torch.bool)).shape == (2,)


def test_ip_clips_terms_are_those_of_the_official_loss(tiny_problem):
    """With retain images as source, forget images as target, and terms that are raised unbounded."""
    method = ip_clip.IpClip(clamp=1e9)
    model = prepared(method, tiny_problem)
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ip_clip, "Attention", lambda width, own=ip_clip.Attention: made.append(own(width)) or made[0])
        loss = method.loss(tiny_problem, model)
    part, batch = model.parts["contexts"], tiny_problem.train
    terms = loss(batch)
    forget, labels = batch.forget, batch.labels
    features = model.features(batch.images)
    texts, scale = part.texts(features), part.logit_scale
    banks = [ip_clip.class_means(tiny_problem, group) for group in (False, True)]
    near, far = made[0](features, ~forget, *banks)

    def answers(texts, seen):
        return scale * torch.stack([own @ one for own, one in zip(texts, seen, strict=True)])

    plain = answers(texts, features)
    expected = {
        "source": F.cross_entropy(plain[~forget], labels[~forget]),
        "target": -F.cross_entropy(plain[forget], labels[forget]),
        "enhanced_source": -F.cross_entropy(answers(texts[~forget], near[~forget]), labels[~forget]),
    }
    others = texts[forget].repeat(2, 1, 1)  # two retain images for each forget image
    expected["enhanced_target"] = -F.cross_entropy(answers(others, far[~forget]), labels[~forget])
    tokens = part.style(features)
    expected["style"] = -0.1 * F.mse_loss(tokens[~forget].mean(dim=0), tokens[forget].mean(dim=0))
    chances = plain[forget].softmax(dim=1)
    expected["entropy"] = 0.01 * -(chances * chances.log()).sum(dim=1).mean()
    source, target = (texts[group].mean(dim=0) for group in (~forget, forget))
    expected["texts"] = -(target.softmax(0) * (target.softmax(0).log() - source.softmax(0).log())).sum()
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name)


def test_the_extra_class_is_spread_uniformly():
    logits = torch.randn(5, 4)
    p = logits.softmax(dim=1)
    torch.testing.assert_close(aod_ip.spread(logits).exp(), p[:, :3] + p[:, 3:] / 3)
    sure = torch.tensor([[0.0, 1.0, 2.0, 200.0]])
    torch.testing.assert_close(aod_ip.spread(sure).softmax(dim=1), torch.full((1, 3), 1 / 3))


def test_aod_ip_answers_with_the_spread_probabilities(tiny_problem):
    model = prepared(aod_ip.AodIp(), tiny_problem)
    part = model.parts["contexts"]
    with torch.no_grad():
        found = model.eval().logits(tiny_problem.train.images)
        every = part.all_logits(tiny_problem.train.frozen)
    assert every.shape == (36, 4)
    torch.testing.assert_close(found, aod_ip.spread(every), atol=1e-3, rtol=1e-3)


def test_aod_ips_terms_are_those_of_its_formula(tiny_problem, monkeypatch):
    """CE(source) - 0.1 CE(source, extra) + CE(target, extra) + 0.1 CE(expanded, extra) - KL(expanded || source texts).

    Expanded images are retain images in another style; column 3 is the extra class.
    """
    monkeypatch.setattr(aod_ip, "restyled", inverted)
    method = aod_ip.AodIp()
    # So far that texts depend on the image.
    model, batch = stirred(method, tiny_problem, 3.0), next(tiny_problem.batches())
    retain, extra = ~batch.forget, torch.full_like(batch.labels, 3)
    seen = [model.features(images) for images in (batch.images, inverted(batch.images, retain))]
    texts = [model.parts["contexts"].texts(features) for features in seen]
    logits = [
        tiny_problem.backbone.logit_scale * (own * features[:, None]).sum(dim=2)
        for own, features in zip(texts, seen, strict=True)
    ]
    barred, expanded = (errors(own, extra) for own in logits)
    source, other = (own[retain].mean(dim=0) for own in texts)
    apart = divergence(other, source, dim=0).sum()
    assert 1e-3 < apart < method.clamp
    expected = {
        "source": errors(logits[0], batch.labels)[retain].mean(),
        "source_extra": -0.1 * barred[retain].mean(),
        "target_extra": barred[batch.forget].mean(),
        "expanded_extra": 0.1 * expanded[retain].mean(),
        "texts": -apart,
    }
    assert_same_terms(method.loss(tiny_problem, model)(batch), expected, model.trainable())
