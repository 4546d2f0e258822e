"""Each switch of ADU changes its own loss terms and parts, and nothing else."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from adu_bench._methods.adu import Adu

from adu_bench.core.specs import TrainingSpec
from adu_bench.registry import Catalogue

PARTS = {"prompts", "instapg", "domain_head"}
LOSSES = {"memorize", "forget", "domain_ce", "mmd"}
PLAIN = {"epochs": 1, "prompt_length": 2, "gamma": 1.0, "lam": 1.0}


def run(problem, **fields):
    """Train one step from the same start; return the loss terms before it and the shapes of all parts."""
    logged = []
    problem.record = logged.append
    problem.training = TrainingSpec(36, "fp32")
    problem.rng.manual_seed(0)
    torch.manual_seed(0)
    model = Adu(**{**PLAIN, **fields}).unlearn(problem)
    terms = {name: value for name, value in logged[0].items() if name not in ("epoch", "lr")}
    return terms, {name: tuple(value.shape) for name, value in model.parts.state_dict().items()}


def parts(shapes):
    return {name.partition(".")[0] for name in shapes}


# Switch, loss terms whose value changes, loss terms that vanish, tensors whose shape changes (as prefixes).
SWITCHES = [
    ({"gamma": 0.0}, set(), {"domain_ce"}, ()),
    ({"lam": 0.0}, set(), {"mmd"}, ()),
    ({"gamma": 0.0, "lam": 0.0}, set(), {"domain_ce", "mmd"}, ()),
    ({"gamma": 3.0}, {"domain_ce"}, set(), ()),
    ({"lam": 3.0}, {"mmd"}, set(), ()),
    ({"forget_loss": "neg_entropy"}, {"forget"}, set(), ()),
    ({"mmd_space": "domain_logits"}, {"mmd"}, set(), ()),
    ({"bandwidth": "fixed"}, {"mmd"}, set(), ()),
    ({"pair_reduce": "sum"}, {"mmd"}, set(), ()),
    ({"domain_outputs": "domains_times_classes"}, {"domain_ce"}, set(), ("domain_head.",)),
    ({"instapg": False}, LOSSES, set(), ("instapg.",)),
    ({"instapg_ffn": False}, LOSSES, set(), ("instapg.feed_forward.",)),
    ({"instapg_block": 1}, LOSSES, set(), ()),
    ({"prompt_length": 3}, LOSSES, set(), ("prompts.",)),
    ({"prompt_depth": 1}, LOSSES, set(), ("prompts.",)),
    # The image features stay; the domain head is drawn after the context and starts elsewhere.
    ({"text_prompts": 4}, LOSSES - {"mmd"}, set(), ("text_prompts.",)),
    ({"crop": 1.0}, LOSSES, set(), ()),
]


@pytest.mark.parametrize(("fields", "changed", "gone", "reshaped"), SWITCHES, ids=[str(case[0]) for case in SWITCHES])
def test_a_switch_changes_its_terms_and_parts_only(fields, changed, gone, reshaped, tiny_problem):
    before, shapes = run(tiny_problem)
    after, new_shapes = run(tiny_problem, **fields)
    assert set(before) == LOSSES
    assert set(after) == LOSSES - gone
    assert {name for name in after if abs(after[name] - before[name]) > 1e-6} == changed - gone
    differing = {name for name in {*shapes, *new_shapes} if shapes.get(name) != new_shapes.get(name)}
    assert bool(differing) == bool(reshaped)
    assert all(name.startswith(reshaped) for name in differing)


def test_the_weights_scale_their_terms_and_the_sum_counts_pairs(tiny_problem):
    before, _ = run(tiny_problem)
    heavy, _ = run(tiny_problem, gamma=30.0, lam=10.0)
    assert heavy["domain_ce"] == pytest.approx(30 * before["domain_ce"], rel=1e-5)
    assert heavy["mmd"] == pytest.approx(10 * before["mmd"], rel=1e-5)
    summed, _ = run(tiny_problem, pair_reduce="sum")
    pairs = len(list(combinations(tiny_problem.domains, 2)))
    assert summed["mmd"] == pytest.approx(pairs * before["mmd"], rel=1e-5)


def test_separate_norms_are_a_second_module_that_starts_equal(tiny_problem):
    before, shapes = run(tiny_problem)
    after, new_shapes = run(tiny_problem, instapg_norms=False)
    assert parts(shapes) == parts(new_shapes) == PARTS
    # Both norms start as the identity, so the first losses agree; one norm then learns for both.
    assert after == pytest.approx(before)
    torch.manual_seed(0)
    shared = Adu(**PLAIN, instapg_norms=False).unlearn(tiny_problem).parts["instapg"]
    assert shared.norm_query is shared.norm_patches


def test_balanced_batches_are_asked_for(tiny_problem, monkeypatch):
    asked, original = [], type(tiny_problem).batches

    def spy(self, **options):
        asked.append(options["balanced"])
        return original(self, **options)

    monkeypatch.setattr(type(tiny_problem), "batches", spy)
    run(tiny_problem)
    run(tiny_problem, balanced=True)
    assert asked == [False, True]


def test_every_ablation_has_different_switches():
    ablations = [preset for preset, entry in Catalogue().presets.values() if preset.group == "ablation"]
    named = {frozenset(preset.fields) for preset in ablations}
    assert len(named) == len(ablations)
    switched = {field for fields in named for field in fields}
    assert {"gamma", "lam", "instapg", "forget_loss", "mmd_space", "bandwidth", "pair_reduce"} <= switched
    assert {"instapg_ffn", "text_prompts", "balanced"} <= switched


def test_the_released_preset_is_the_released_code():
    fields = Catalogue().presets["adu-released"][0].fields
    assert fields == {
        "lam": 0.5,
        "forget_loss": "neg_entropy",
        "mmd_space": "domain_logits",
        "domain_outputs": "domains_times_classes",
        "text_prompts": 8,
    }
    defaults = Adu()
    assert (defaults.gamma, defaults.lam, defaults.instapg_block, defaults.prompt_depth) == (30.0, 10.0, 9, 9)
    assert (defaults.instapg_norms, defaults.instapg_ffn, defaults.prompt_length) == (True, True, 8)
