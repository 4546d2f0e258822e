"""Loss terms compared with explicit formulas in float64."""

from __future__ import annotations

import math

import pytest
import torch

from adu_bench.training.losses import domain_ce, memorize, neg_entropy, uniform_ce

torch.manual_seed(0)
LOGITS = torch.randn(10, 5, dtype=torch.float64) * 3
LABELS = torch.randint(5, (10,))
FORGET = torch.tensor([True, False] * 5)


def probabilities() -> list[list[float]]:
    rows = []
    for row in LOGITS.tolist():
        total = sum(math.exp(value) for value in row)
        rows.append([math.exp(value) / total for value in row])
    return rows


def test_memorize_is_cross_entropy_of_retain_images():
    p = probabilities()
    kept = [i for i in range(10) if not FORGET[i]]
    expected = -sum(math.log(p[i][LABELS[i]]) for i in kept) / len(kept)
    assert memorize(LOGITS, LABELS, FORGET).item() == pytest.approx(expected, rel=1e-5)


def test_uniform_ce_is_cross_entropy_from_the_uniform_distribution():
    p = probabilities()
    gone = [i for i in range(10) if FORGET[i]]
    expected = -sum(math.log(value) / 5 for i in gone for value in p[i]) / len(gone)
    assert uniform_ce(LOGITS, FORGET).item() == pytest.approx(expected, rel=1e-5)


def test_neg_entropy_has_the_released_offset():
    p = probabilities()
    gone = [i for i in range(10) if FORGET[i]]
    expected = sum(value * math.log(value + 1e-5) for i in gone for value in p[i]) / len(gone)
    assert neg_entropy(LOGITS, FORGET).item() == pytest.approx(expected, rel=1e-4)


def test_a_uniform_answer_is_the_minimum_of_both_forget_losses():
    uniform, all_ = torch.zeros(4, 5), torch.ones(4, dtype=torch.bool)
    assert uniform_ce(uniform, all_).item() == pytest.approx(math.log(5))
    assert neg_entropy(uniform, all_).item() == pytest.approx(-math.log(5), abs=1e-4)


def test_the_entropy_form_has_no_gradient_on_confident_images():
    """A logit gap of 25 over 65 classes: 0.99 against about 1e-8 (this is why ADU has two presets)."""
    norms = {}
    for loss in (uniform_ce, neg_entropy):
        logits = torch.zeros(1, 65, dtype=torch.float64)
        logits[0, 0] = 25
        logits.requires_grad_()
        loss(logits, torch.tensor([True])).backward()
        norms[loss.__name__] = logits.grad.norm().item()
    assert norms["uniform_ce"] == pytest.approx(0.99, abs=0.01)
    assert norms["neg_entropy"] < 1e-7


def test_domain_ce_includes_unused_outputs():
    domains = torch.tensor([0, 1, 2])
    exact = domain_ce(torch.zeros(3, 3), domains).item()
    wide = domain_ce(torch.zeros(3, 30), domains).item()
    assert exact == pytest.approx(math.log(3))
    assert wide == pytest.approx(math.log(30))


@pytest.mark.parametrize("forget", [torch.zeros(10, dtype=torch.bool), torch.ones(10, dtype=torch.bool)])
def test_a_batch_without_one_group_gives_zero_and_zero_gradients(forget):
    logits = LOGITS.clone().requires_grad_()
    term = memorize(logits, LABELS, forget) if forget.all() else uniform_ce(logits, forget)
    term.backward()
    assert term.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))
