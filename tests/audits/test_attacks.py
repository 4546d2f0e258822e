"""The computations behind attacks: repairs of answers, image filters, rounding, and prompts of an attacker."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adu_bench.audits.answer_repair import repaired
from adu_bench.audits.filters import apply_filter, filters
from adu_bench.audits.quantising import all_weights, learned_weights, rounded, rounding
from adu_bench.audits.relearning import STEPS, area
from adu_bench.audits.repairs import (
    best_permutation,
    best_rank,
    fitted_scale,
    fitted_shift,
    information,
    mean_shift,
    read_rank,
)
from adu_bench.audits.subject import Outputs
from adu_bench.audits.tuning import AttackPrompts, add_prompts, tune
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.heads import UniformAnswer
from adu_bench.clip.lora import LowRank
from adu_bench.clip.prompts import VisualPrompts
from adu_bench.runner.evaluate import Images

CLASSES = ("one", "two", "three")


def answers(seed: int = 0, count: int = 300, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are mostly right, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return (rng.normal(size=(count, classes)) + 3 * np.eye(classes)[labels]).astype(np.float32), labels


def right(logits: np.ndarray, labels: np.ndarray) -> float:
    return float((logits.argmax(axis=1) == labels).mean())


# Repairs of answers


def test_a_permutation_of_the_classes_is_found():
    logits, labels = answers()
    order = np.array([2, 0, 1, 4, 3])
    wrong = logits[:, order]
    assert right(wrong, labels) < 0.1
    assert right(wrong[:, best_permutation(wrong, labels)], labels) == right(logits, labels) > 0.9
    assert best_permutation(logits, labels).tolist() == [0, 1, 2, 3, 4]


def test_equal_answers_stay_as_they_are():
    assert best_permutation(np.zeros((30, 5)), np.arange(30) % 5).tolist() == [0, 1, 2, 3, 4]


def test_the_second_best_class_is_read_if_it_is_the_right_one():
    logits, labels = answers()
    order = np.argsort(-logits, axis=1)
    wrong = logits.copy()
    top, second = (np.take_along_axis(logits, order[:, i, None], 1) for i in (0, 1))
    np.put_along_axis(wrong, order[:, :1], second, 1)
    np.put_along_axis(wrong, order[:, 1:2], top, 1)
    assert right(wrong, labels) < 0.1
    assert best_rank(wrong, labels) == 1
    assert right(read_rank(wrong, 1), labels) == right(logits, labels)
    assert read_rank(logits, best_rank(logits, labels)) is logits


def test_a_rank_moves_one_class_and_keeps_the_order_of_the_others():
    assert np.argsort(-read_rank(np.array([[1.0, 5.0, 3.0, 4.0]]), 2), axis=1).tolist() == [[2, 1, 3, 0]]
    assert best_rank(np.zeros((4, 3)), np.zeros(4, int)) == 0


def test_a_bias_on_the_forgotten_domain_is_found_without_labels():
    logits, labels = answers()
    retain, _ = answers(seed=1)
    wrong = logits + np.array([20, 0, 0, 0, 5], np.float32)
    assert right(wrong, labels) < 0.3
    assert right(wrong - mean_shift(wrong, retain), labels) > 0.9


def test_a_bias_is_found_with_labels():
    logits, labels = answers()
    wrong = logits + np.array([20, 0, 0, 0, 5], np.float32)
    assert right(wrong - fitted_shift(wrong[:50], labels[:50]), labels) > 0.9
    assert right(logits - fitted_shift(logits[:50], labels[:50]), labels) > 0.9


def test_a_fitted_bias_is_finite_if_a_class_is_never_seen():
    logits, labels = answers()
    shift = fitted_shift(logits[labels != 2], labels[labels != 2])
    assert np.abs(shift).max() < 50


def test_the_best_temperature_turns_answers_around_and_reveals_hidden_knowledge():
    logits, labels = answers()
    assert right(fitted_scale(-logits, labels) * -logits, labels) > 0.9
    quiet = 1e-3 * logits
    assert information(quiet, labels) < 0.01
    assert information(fitted_scale(quiet, labels) * quiet, labels) > 0.5
    assert information(100 * -logits, labels) == 0
    assert fitted_scale(np.zeros((30, 5)), np.arange(30) % 5) == 1


def outputs(logits: np.ndarray, labels: np.ndarray, forget: np.ndarray) -> Outputs:
    empty = np.zeros((len(labels), 1), np.float32)
    names = np.arange(len(labels)).astype(object)
    return Outputs(
        Images(empty, np.arange(len(labels)), names, np.where(forget, "b", "a"), labels, forget, empty), empty, logits
    )


def test_the_best_repair_is_chosen_on_the_attackers_images_and_judged_on_others():
    fit, test = answers(), answers(seed=1)
    forget = np.arange(300) % 2 == 0
    broken = [logits[:, [1, 2, 3, 4, 0]] * forget[:, None] + logits * ~forget[:, None] for logits, _ in (fit, test)]
    seen = outputs(broken[0], fit[1], forget)
    found = repaired(
        seen.where(forget), seen.where(~forget), outputs(broken[1], test[1], forget), np.random.default_rng(0)
    )
    assert found.best == "permutation"
    assert found.forget["none"] < 0.1
    assert found.forget["permutation"] > 0.9
    assert found.retain["none"] > 0.9
    assert found.retain["permutation"] < 0.1


# Image filters


def test_a_filter_keeps_shape_and_type_and_changes_what_it_names():
    images = torch.randint(0, 256, (4, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    target = images // 4 + 20
    made = filters(images, target)
    assert len(made) == 13
    for name, chosen in made.items():
        changed = apply_filter(chosen, images)
        assert changed.shape == images.shape
        assert changed.dtype == torch.uint8
        assert torch.equal(changed, images) == (name == "none")
    assert torch.equal(apply_filter(made["invert"], images), 255 - images)
    for name in ("grey", "edges"):
        grey = apply_filter(made[name], images)
        assert torch.equal(grey[:, 0], grey[:, 1])
    assert len(apply_filter(made["posterise"], images).unique()) == 4
    for name in ("blur", "wide blur", "half contrast"):
        assert apply_filter(made[name], images).float().std() < images.float().std()
    imitated = apply_filter(made["colour statistics"], images).float()
    assert imitated.mean(dim=(0, 2, 3)).tolist() == pytest.approx(target.float().mean(dim=(0, 2, 3)).tolist(), abs=1)
    assert imitated.std(dim=(0, 2, 3)).tolist() == pytest.approx(target.float().std(dim=(0, 2, 3)).tolist(), abs=1)


def test_an_even_image_has_no_edges_and_stays_even():
    even = torch.full((1, 3, 16, 16), 100, dtype=torch.uint8)
    made = filters(even, even)
    assert bool((apply_filter(made["edges"], even) == 255).all())
    for name in ("blur", "wide blur", "sharpen", "colour statistics"):
        assert torch.equal(apply_filter(made[name], even), even)


# Rounding


@pytest.mark.parametrize("shape", [(7,), (5, 9), (2, 5, 9), (4, 3, 2, 2)])
def test_rounding_is_symmetric_with_a_scale_for_each_channel(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    rows = weight.reshape(-1, shape[-1]) if len(shape) < 4 else weight.flatten(1)
    for bits in (8, 4, 2):
        levels = 2 ** (bits - 1) - 1
        found = rounded(weight, bits).reshape(rows.shape)
        scale = rows.abs().amax(dim=1, keepdim=True) / levels
        assert bool(((found - rows).abs() <= scale / 2 + 1e-6).all())
        assert torch.allclose(found / scale, (found / scale).round(), atol=1e-4)
        assert bool(((found / scale).abs() <= levels + 1e-4).all())
    assert torch.equal(rounded(-weight, 4), -rounded(weight, 4))
    assert torch.equal(rounded(torch.zeros(shape), 4), torch.zeros(shape))


@torch.no_grad()
def test_few_bits_change_answers_and_eight_hardly_do_and_all_is_put_back(tiny_backbone):
    torch.manual_seed(0)
    classifier = Classifier(tiny_backbone, CLASSES, "a {}.").eval()
    classifier.add("lora", LowRank(2))
    for update in classifier.parts["lora"].updates.values():
        torch.nn.init.normal_(update.up)
    classifier.unfreeze("visual.ln_post.*", "*token_embedding*")
    images = some_images().images
    before, p = classifier.logits(images), classifier.logits(images).softmax(dim=-1)
    for weights in (learned_weights, all_weights):
        distance = []
        for bits in (8, 4, 2):
            with rounding(classifier, weights(classifier), bits):
                distance.append(float((classifier.logits(images).softmax(dim=-1) - p).abs().mean()))
        assert 0 < distance[0] < 0.2 * distance[2]
        assert distance[0] < distance[1]
        assert torch.equal(classifier.logits(images), before)


def test_the_weights_of_all_kinds_are_found(tiny_backbone):
    classifier = Classifier(tiny_backbone, CLASSES, "a {}.")
    assert learned_weights(classifier) == []
    whole = len(all_weights(classifier))
    assert whole == len(list(tiny_backbone.model.parameters()))
    classifier.add("prompts", VisualPrompts(2, 1, classifier.image_width))
    classifier.unfreeze("visual.proj")
    assert [tuple(weight.shape) for weight in learned_weights(classifier)] == [(1, 2, 32), (32, 24)]
    # The backbone's own projection counts beside the changed copy.
    assert len(all_weights(classifier)) == whole + 2


# Tuning


class some_images:  # noqa: N801 - reads as a function
    """Random images with labels, as an attacker has them."""

    def __init__(self, count: int = 12) -> None:
        rng = np.random.default_rng(0)
        self.pixels = rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
        self.images = torch.from_numpy(self.pixels).permute(0, 3, 1, 2)

    def labelled(self, backbone) -> Images:
        count = len(self.pixels)
        frozen = backbone.image_features(self.images).numpy()
        names = np.arange(count).astype(object)
        return Images(self.pixels, np.arange(count), names, names, np.arange(count) % 3, np.ones(count, bool), frozen)


@torch.no_grad()
def test_an_attackers_prompts_act_as_prompts_of_the_same_values(tiny_backbone):
    images = some_images().images
    torch.manual_seed(0)
    usual, attacker = (Classifier(tiny_backbone, CLASSES, "a {}.").eval() for _ in range(2))
    prompts = usual.add("prompts", VisualPrompts(3, 2, 32))
    attack = attacker.add("attack", AttackPrompts(3, 2, 32))
    for tokens in (prompts.tokens, attack.tokens):
        tokens.copy_(torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(attacker.logits(images), usual.logits(images), atol=1e-5)


@torch.no_grad()
def test_an_attackers_prompts_stand_beside_those_of_the_classifier(tiny_backbone):
    images = some_images().images
    whole, both = (Classifier(tiny_backbone, CLASSES, "a {}.").eval() for _ in range(2))
    values = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1))
    whole.add("prompts", VisualPrompts(5, 2, 32)).tokens.copy_(values)
    both.add("prompts", VisualPrompts(3, 2, 32)).tokens.copy_(values[:, :3])
    without = both.logits(images)
    both.add("attack", AttackPrompts(2, 2, 32)).tokens.copy_(values[:, 3:])
    assert torch.allclose(both.logits(images), whole.logits(images), atol=1e-5)
    assert not torch.allclose(both.logits(images), without, atol=1e-2)


def test_the_attackers_prompts_are_as_large_as_those_of_the_classifier(tiny_backbone):
    bare, prompted = (Classifier(tiny_backbone, CLASSES, "a {}.") for _ in range(2))
    prompted.add("prompts", VisualPrompts(3, 2, 32))
    assert [tuple(values.shape) for values in add_prompts(bare)] == [(3, 8, 32)]
    assert [tuple(values.shape) for values in add_prompts(prompted)] == [(2, 3, 32)]
    other = Classifier(tiny_backbone, CLASSES, "a {}.")
    assert [tuple(values.shape) for values in add_prompts(other, (1, 1))] == [(1, 1, 32)]


def tuned(backbone, steps: int, part=None) -> tuple[list[float], Classifier]:
    classifier = Classifier(backbone, CLASSES, "a {}.").eval()
    torch.manual_seed(0)
    if part is not None:
        classifier.add("part", part)
    parameters = add_prompts(classifier)
    attacker, losses = some_images(), []
    labels = torch.arange(12) % 3

    @torch.no_grad()
    def watch(step: int) -> None:
        assert not classifier.training
        losses.append(float(torch.nn.functional.cross_entropy(classifier.logits(attacker.images), labels)))

    images = attacker.labelled(backbone)
    tune(classifier, parameters, images, steps=steps, lr=0.1, batch=6, seed=3, watch=watch, at=(0, steps))
    return losses, classifier


def test_tuning_fits_the_attackers_images_and_repeats_exactly(tiny_backbone):
    (first, classifier), (second, _) = tuned(tiny_backbone, 30), tuned(tiny_backbone, 30)
    assert first[1] < first[0] - 0.1
    assert first == second
    assert not classifier.training


def test_a_constant_answer_cannot_be_tuned(tiny_backbone):
    losses, _ = tuned(tiny_backbone, 3, UniformAnswer())
    assert losses == pytest.approx([np.log(3)] * 2)


def test_the_area_is_the_mean_height():
    assert area(np.full(len(STEPS), 0.4)) == pytest.approx(0.4)
    rising = np.array(STEPS) / STEPS[-1]
    assert area(rising) == pytest.approx(0.5)
    assert area(np.sqrt(rising)) > 0.5
