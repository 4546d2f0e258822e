"""The squared MMD compared with double loops in float64, and the direction of a step."""

from __future__ import annotations

import math
import statistics

import pytest
import torch

from adu_bench.training.mmd import domain_mmd2, mmd2


def reference(x: list, y: list, sigmas: list[float]) -> float:
    def kernel(a: list, b: list) -> float:
        squared = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
        return sum(math.exp(-squared / (2 * sigma**2)) for sigma in sigmas) / len(sigmas)

    def mean(one: list, other: list) -> float:
        return sum(kernel(a, b) for a in one for b in other) / (len(one) * len(other))

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def median_distance(x: list, y: list) -> float:
    return statistics.median_low([math.dist(a, b) for a in x for b in y])


torch.manual_seed(1)
X, Y = torch.randn(7, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64) + 0.7


def test_median_bandwidth():
    x, y = X.tolist(), Y.tolist()
    assert mmd2(X, Y).item() == pytest.approx(reference(x, y, [median_distance(x, y)]), rel=1e-9)


def test_fixed_bandwidths():
    assert mmd2(X, Y, (0.5, 2.0)).item() == pytest.approx(reference(X.tolist(), Y.tolist(), [0.5, 2.0]), rel=1e-9)


def test_equal_samples_have_no_discrepancy():
    assert mmd2(X, X).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_pairs_are_averaged_or_summed(reduce):
    z = torch.randn(6, 4, dtype=torch.float64)
    features, domains = torch.cat([X, Y, z]), torch.tensor([0] * 7 + [1] * 5 + [2] * 6)
    pairs = [mmd2(X, Y).item(), mmd2(X, z).item(), mmd2(Y, z).item()]
    expected = sum(pairs) / (3 if reduce == "mean" else 1)
    assert domain_mmd2(features, domains, 3, "median", reduce).item() == pytest.approx(expected, rel=1e-9)


def test_a_domain_with_one_image_is_left_out():
    features, domains = torch.cat([X, Y]), torch.tensor([0] * 7 + [1] * 4 + [2])
    assert domain_mmd2(features, domains, 3).item() == pytest.approx(mmd2(X, Y[:4]).item(), rel=1e-9)


def test_without_a_pair_it_is_zero_with_zero_gradients():
    features = X.clone().requires_grad_()
    value = domain_mmd2(features, torch.zeros(7, dtype=torch.long), 2)
    value.backward()
    assert value.item() == 0
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_a_step_against_the_loss_increases_the_mmd():
    """The loss of ADU contains minus the MMD; the released code had the wrong sign for months."""
    features = torch.cat([X, Y]).float().requires_grad_()
    domains = torch.tensor([0] * 7 + [1] * 5)
    before = domain_mmd2(features, domains, 2)
    (-before).backward()
    after = domain_mmd2(features.detach() - 0.05 * features.grad, domains, 2)
    assert after > before


def test_coinciding_points_give_finite_gradients():
    features = torch.ones(6, 3).requires_grad_()
    domain_mmd2(features, torch.tensor([0, 0, 0, 1, 1, 1]), 2).backward()
    assert torch.isfinite(features.grad).all()


def test_pairs_whose_domain_is_absent_do_not_count():
    features, domains = torch.cat([X, Y]), torch.tensor([1] * 7 + [3] * 5)
    assert domain_mmd2(features, domains, 6).item() == pytest.approx(mmd2(X, Y).item(), rel=1e-9)


def test_it_is_computed_in_single_precision_under_autocast():
    features, domains = torch.cat([X, Y]).float(), torch.tensor([0] * 7 + [1] * 5)
    expected = domain_mmd2(features, domains, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = domain_mmd2(features, domains, 2)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
