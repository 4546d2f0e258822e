"""The text gate, null-space projection and LEACE compared with closed forms."""

from __future__ import annotations

import pytest
import torch
from adu_bench._methods import leace, null_space, text_gate

from adu_bench.core.errors import RunFailed


def test_the_text_gate_abstains_where_the_forget_domains_words_fit_best(tiny_problem):
    model = text_gate.TextGate().unlearn(tiny_problem).eval()
    frozen = tiny_problem.train.frozen
    words = torch.stack(
        [
            torch.nn.functional.normalize(
                tiny_problem.backbone.text_features([f"a {d} of a {c}." for c in tiny_problem.classes]).mean(dim=0),
                dim=0,
            )
            for d in tiny_problem.domains
        ]
    )
    stopped = (frozen @ words.T).argmax(dim=1) == tiny_problem.domains.index("b")
    with torch.no_grad():
        logits = model.logits(None, frozen)
        plain = tiny_problem.classifier().logits(None, frozen)
    assert torch.equal(logits == 0, stopped[:, None].expand_as(logits))
    torch.testing.assert_close(logits[~stopped], plain[~stopped])


def test_removed_directions_span_what_the_forget_domain_has_alone():
    keep, drop = torch.eye(6)[:2], torch.stack([torch.eye(6)[1] + torch.eye(6)[4], torch.eye(6)[0]])
    basis = null_space.removed_directions(drop, keep, 1.0)
    torch.testing.assert_close(basis.abs(), torch.eye(6)[4][:, None])
    both = null_space.removed_directions(drop, keep, 0.0)
    torch.testing.assert_close(both.T @ both, torch.eye(2))
    torch.testing.assert_close(both @ both.T @ drop.T, drop.T)


def test_prototypes_are_texts_and_mean_images_of_each_class_of_the_domains(tiny_problem):
    train, expected = tiny_problem.train, []
    for index, domain in ((1, "b"), (2, "c")):
        expected.append(tiny_problem.backbone.text_features([f"a {domain} of a {c}." for c in tiny_problem.classes]))
        means = [train.frozen[(train.domains == index) & (train.labels == k)].mean(dim=0) for k in range(3)]
        expected.append(torch.stack([mean / mean.norm() for mean in means]))
    found = null_space.prototypes(tiny_problem, "a {domain} of a {name}.", ("b", "c"))
    torch.testing.assert_close(found, torch.cat(expected))


def test_null_space_keeps_the_leading_directions_of_the_retain_domains(tiny_problem):
    """At full energy these are all that the retain prototypes span, so that their products stay the same."""
    method = null_space.NullSpace(kept_energy=1.0)
    keep, drop = (null_space.prototypes(tiny_problem, method.phrase, d) for d in (("a", "c"), ("b",)))
    before = tiny_problem.backbone.model.visual.proj.detach()
    after = method.unlearn(tiny_problem).model.visual.proj.detach()
    torch.testing.assert_close(after @ keep.T, before @ keep.T, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(after @ drop.T, before @ drop.T, atol=1e-3)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_null_space_scales_the_removed_part_of_features(strength, tiny_problem):
    method = null_space.NullSpace(strength=strength, kept_energy=0.0)
    model = method.unlearn(tiny_problem)
    basis = null_space.removed_directions(
        null_space.prototypes(tiny_problem, method.phrase, ("b",)), torch.ones(1, 24), 0.0
    )
    before = tiny_problem.backbone.model.visual.proj.detach()
    after = model.model.visual.proj.detach()
    torch.testing.assert_close(after @ basis, (1 - strength) * before @ basis, atol=1e-5, rtol=1e-4)
    rest = torch.eye(24) - basis @ basis.T
    torch.testing.assert_close(after @ rest, before @ rest, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shrinkage", [0.01, 1.0])
def test_leace_makes_classes_linearly_unguessable_on_its_training_features(shrinkage):
    """No linear classifier has a lower loss than the constant one if features and labels do not covary."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    features = torch.randn(60, 8, generator=rng) + torch.randn(3, 8, generator=rng)[labels]
    mean, matrix = leace.eraser(features, labels, 3, shrinkage)
    erased = (mean + (features - mean) @ matrix.T).double()
    kinds = torch.nn.functional.one_hot(labels).double()
    cross = (erased - erased.mean(dim=0)).T @ (kinds - kinds.mean(dim=0))
    assert cross.abs().max() < 1e-4
    assert ((features - features.mean(dim=0)).double().T @ kinds).abs().max() > 1
    # Class means agree, and only two directions are gone.
    means = torch.stack([erased[labels == k].mean(dim=0) for k in range(3)])
    torch.testing.assert_close(means, means[:1].expand(3, -1), atol=1e-5, rtol=0)
    assert torch.linalg.matrix_rank(matrix.double(), tol=1e-4) == 6


def test_leace_changes_detected_images_only_and_needs_some(tiny_problem):
    model = leace.Leace(weight_decay=1e-6).unlearn(tiny_problem).eval()
    train, part = tiny_problem.train, model.parts["eraser"]
    with torch.no_grad():
        stopped = part.forget[part.probe(train.frozen).argmax(dim=1)]
        same = (model.logits(None, train.frozen) == tiny_problem.classifier().logits(None, train.frozen)).all(dim=1)
    assert torch.equal(same, ~stopped)
    assert stopped.any()
    train.forget[:] = False
    with pytest.raises(RunFailed, match="no image"):
        leace.Leace().unlearn(tiny_problem)


def test_leace_scores_forget_images_by_what_erasure_leaves_of_them_around_their_mean(tiny_problem):
    """The eraser is that of the forget images: their erased features have the same mean in every class."""
    model = leace.Leace(weight_decay=1e-6).unlearn(tiny_problem).eval()
    train, part = tiny_problem.train, model.parts["eraser"]
    mean = train.frozen[train.forget].mean(dim=0)
    erased = mean + (train.frozen - mean) @ part.matrix.T
    for label in range(3):
        own = erased[train.forget & (train.labels == label)].mean(dim=0)
        torch.testing.assert_close(own, mean, atol=1e-5, rtol=0)
    unit = erased / erased.norm(dim=1, keepdim=True)
    with torch.no_grad():
        expected = tiny_problem.backbone.logit_scale * unit @ model.text_features().T
        stopped = part.forget[part.probe(train.frozen).argmax(dim=1)]
        found = model.logits(None, train.frozen)
    assert torch.equal(stopped, train.forget)
    torch.testing.assert_close(found[stopped], expected[stopped], atol=1e-4, rtol=1e-4)
