"""The benchmark runs and refuses what it cannot measure; how fast anything is, no test says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from adu_bench.core.errors import UserError
from adu_bench.speed.harness import measure, measure_tower
from adu_bench.speed.profile import GROUPS, REST, shares
from adu_bench.speed.work import tower_work, work_of
from adu_bench.suites import load_suite


def test_a_tower_is_measured_without_weights():
    found = measure_tower("ViT-S-32-alt", 2, "cpu", 1, image_size=64)
    assert set(found) == {"train_ratio", "train_ratio.instapg", "eval_ratio", "naive_ratio"}
    assert all(value > 0 for value in found.values())


@pytest.mark.parametrize(("name", "reason"), [("RN50", "standard ViT"), ("ViT-B32", "ViT-B-32")])
def test_other_towers_are_refused(name, reason):
    with pytest.raises(UserError, match=reason):
        measure_tower(name, 2, "cpu", 1)


def test_a_suite_is_measured_for_both_methods_and_evaluation(monkeypatch):
    monkeypatch.setattr("adu_bench.speed.harness.EPOCHS", 1)
    steps = []
    found = measure(load_suite("toy"), "cpu", 1, report=lambda step, done, total, note="": steps.append(step))
    kinds = {name.partition(".")[0] for name in found}
    assert kinds == {"train_ratio", "train_images_per_second", "eval_ratio", "eval_images_per_second", "naive_ratio"}
    assert set(steps) == {"training, baseline", "training, adu", "evaluation", "published loop"}


def test_the_arithmetic_of_a_step_is_counted():
    weight, inputs = torch.ones(5, 3), torch.ones(2, 3, requires_grad=True)
    assert work_of(lambda: torch.nn.functional.linear(inputs, weight)) == 2 * 2 * 3 * 5
    assert work_of(lambda: torch.nn.functional.linear(inputs, weight).sum().backward()) == 2 * 2 * 2 * 3 * 5
    assert work_of(lambda: inputs + 1) == 0


def test_the_harness_needs_less_arithmetic_than_the_reference():
    # The class token alone passes the last block, and the first block's inputs need no gradient.
    found = tower_work("ViT-S-32-alt")
    assert set(found) == {"train_ratio", "train_ratio.instapg", "eval_ratio"}
    assert all(ratio > 1 for ratio in found.values())


def test_operators_are_counted_by_kind():
    events = [
        SimpleNamespace(key="aten::addmm", self_cpu_time_total=30),
        SimpleNamespace(key="aten::mm", self_cpu_time_total=20),
        SimpleNamespace(key="aten::_scaled_dot_product_flash_attention_for_cpu_backward", self_cpu_time_total=40),
        SimpleNamespace(key="aten::sort", self_cpu_time_total=10),
    ]
    wanted = dict.fromkeys([*GROUPS, REST], 0.0) | {"matrix products": 0.5, "attention": 0.4, REST: 0.1}
    assert shares(events) == wanted
