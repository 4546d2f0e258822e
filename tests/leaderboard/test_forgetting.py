"""What audits say of methods: depth, its attack, what is beyond never having known, ranks, and what is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from adu_bench.audits.catalogue import find_audits
from adu_bench.leaderboard.aspects import BY_CONSTRUCTION, CORE_ATTACKS, FULL_ATTACKS, PART_OFF
from adu_bench.leaderboard.forgetting import forgetting_of
from adu_bench.runner.plan import PlannedRun
from tests.leaderboard.audited import everything, measured
from tests.leaderboard.test_board import planned

CLASSES = 5
TASKS = ("a", "b", "c")
METHODS = ("zero-shot", "one", "two")
PROBE = "class-probe/recovery"


def runs(seeds=(1, 2, 3)) -> list[PlannedRun]:
    return [run for method in METHODS for run in planned(method, seeds=seeds)]


def frame(found: list[PlannedRun], forgot=0.5, mem=0.6, drop=0.2) -> pd.DataFrame:
    rows = []
    for run in found:
        plain = run.label == "zero-shot"
        values = {
            "mem": mem + drop if plain else mem,
            "retain_drop": 0.0 if plain else drop,
            "normalised_forgetting": 0.0 if plain else forgot,
        }
        head = (run.spec.key, run.label, run.spec.task.name, run.spec.seed)
        rows += [(*head, name, value) for name, value in values.items()]
    return pd.DataFrame(rows, columns=["key", "method", "task", "seed", "metric", "value"])


def reading(values, found=None, oracle=None, ranked=("one", "two"), **numbers):
    found = runs() if found is None else found
    return forgetting_of(frame(found, **numbers), TASKS, METHODS, ranked, CLASSES, measured(found, values), oracle)


def test_attacks_are_metrics_of_audits_of_their_level():
    known = find_audits()
    core = {name for name, entry in known.items() if entry.card.level == "core"}
    for attack in (*FULL_ATTACKS, BY_CONSTRUCTION):
        audit, _, metric = attack.partition("/")
        assert known[audit].card.metric(metric).name == metric
        assert (audit in core) == (attack in (*CORE_ATTACKS, BY_CONSTRUCTION))


def test_every_audit_that_shows_a_recovery_counts_towards_depth():
    shown = {
        f"{name}/{metric.name}"
        for name, entry in find_audits().items()
        for metric in entry.card.metrics
        if metric.column and metric.direction == "down" and metric.name.startswith("recovery")
    }
    controls = {"rounding/recovery_none", "resurrection/recovery_short"}
    assert shown - set(FULL_ATTACKS) == controls


def test_depth_is_what_the_strongest_attack_does_not_bring_back():
    found = reading(lambda run: everything({PROBE: 0.75, "relearning/recovery": 0.5, PART_OFF: 1.0}))
    one = found.of("one", "depth")
    assert one.estimate.value == pytest.approx(0.25)
    assert one.by == "class-probe"
    assert found.by_construction == dict.fromkeys(METHODS, True)
    assert found.recoveries["one"]["part-off"] == 1.0


def test_part_off_counts_where_weights_of_the_backbone_changed():
    found = reading(lambda run: everything({PROBE: 0.75, PART_OFF: 0.9}, fixed=run.label != "one"))
    assert (found.of("one", "depth").by, found.of("two", "depth").by) == ("part-off", "class-probe")
    assert found.of("one", "depth").estimate.value == pytest.approx(0.1)
    assert found.by_construction["one"] is False


def test_one_attack_is_chosen_for_all_tasks_and_seeds():
    """The attack that is best on average, not the best of each run: that would reward noise of attacks."""

    def values(run):
        high = PROBE if run.spec.task.name == "a" else "disguise/recovery"
        return everything({high: 0.9})

    one = reading(values).of("one", "depth")
    assert one.by == "disguise"
    assert one.estimate.value == pytest.approx(1 - 0.9 * 2 / 3)


def test_means_are_over_tasks_and_intervals_over_seeds():
    by_seed = {1: 0.2, 2: 0.3, 3: 0.7}
    shift = {"a": -0.1, "b": 0.1, "c": 0.0}
    found = reading(lambda run: everything({PROBE: by_seed[run.spec.seed] + shift[run.spec.task.name]}))
    one = found.of("one", "depth").estimate
    values = 1 - np.array(list(by_seed.values()))
    half = t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
    assert (one.value, one.low, one.high) == pytest.approx((values.mean(), values.mean() - half, values.mean() + half))


def test_two_seeds_have_no_interval_and_no_ranks():
    found = reading(lambda run: everything(0.3), runs(seeds=(1, 2)))
    one = found.of("one", "depth")
    assert one.estimate.low is None
    assert one.rank is None


def test_what_is_beyond_never_having_known_is_flagged_and_counts_as_one():
    found = reading(lambda run: everything(-0.2), forgot=1.1)
    for key in ("depth", "forgot"):
        assert found.of("one", key).beyond
        assert found.of("one", key).estimate.value == 1.0
    assert not reading(lambda run: everything(0.0), forgot=1.0).of("one", "depth").beyond


def test_beyond_does_not_earn_a_better_rank():
    noise = {1: -0.01, 2: 0.0, 3: 0.01}
    found = reading(lambda run: everything((-0.5 if run.label == "one" else -0.1) + noise[run.spec.seed]))
    assert [found.of(method, "depth").rank for method in ("one", "two")] == [1, 1]


def test_retained_ability_is_above_chance_and_relative_to_zero_shot():
    found = reading(lambda run: everything(0.3), mem=0.5, drop=0.2)
    assert found.of("one", "retained").estimate.value == pytest.approx((0.5 - 0.2) / (0.7 - 0.2))
    assert found.of("zero-shot", "retained").estimate.value == 1.0


def test_generality_is_forgetting_on_filtered_images_against_zero_shot():
    found = reading(lambda run: everything(0.3, seen=0.8 if run.label == "zero-shot" else 0.5))
    # The image as it is, on which made-up accuracy is 1, does not count.
    assert found.of("one", "generality").estimate.value == pytest.approx(1 - 0.3 / 0.6)
    assert found.of("zero-shot", "generality").estimate.value == 0


def test_held_out_classes_have_a_column_where_they_were_measured():
    found = reading(lambda run: everything(0.3) | {"held-out/suppression": 0.4})
    assert found.of("one", "held_out").estimate.value == pytest.approx(0.4)
    assert "held_out" not in [aspect.key for aspect in reading(lambda run: everything(0.3)).aspects]


def test_collateral_is_the_largest_loss_with_its_name():
    one = reading(lambda run: everything(0.3, lost=0.1)).of("one", "collateral")
    assert (one.by, one.estimate.value) == ("corrupted", pytest.approx(0.2))


def test_a_loss_that_some_tasks_lack_does_not_count():
    def values(run):
        artist = {"collateral/same_artist_drop": 0.9} if run.spec.task.name == "a" else {}
        return everything(0.3, lost=0.1) | artist

    assert reading(values).of("one", "collateral").by == "corrupted"


def test_ranks_tie_what_seeds_cannot_tell_apart():
    noise = {1: -0.01, 2: 0.0, 3: 0.01}
    near = {"zero-shot": 0.9, "one": 0.500, "two": 0.505}

    def rank(values):
        found = reading(
            lambda run: everything({PROBE: values[run.label] + noise[run.spec.seed] * (run.label == "two")})
        )
        return [found.of(method, "depth").rank for method in METHODS]

    assert rank(near) == [None, 1, 1]
    assert rank(near | {"two": 0.7}) == [None, 1, 2]


def test_a_method_with_too_few_seeds_has_no_rank_and_others_keep_theirs():
    part = [run for run in runs() if run.label != "zero-shot" or run.spec.seed == 1]
    depth = {"zero-shot": 0.1, "one": 0.5, "two": 0.3}
    found = reading(lambda run: everything(1 - depth[run.label]), part, ranked=METHODS)
    assert [found.of(method, "depth").rank for method in METHODS] == [None, 1, 2]


def test_shares_of_an_ability_that_was_not_there_are_left_out():
    found = reading(lambda run: everything(0.3, seen=0.2), mem=0.15, drop=0.05)
    assert found.of("one", "retained") is None
    assert found.of("one", "generality") is None


def test_less_collateral_is_better():
    lost = {"zero-shot": 0.0, "one": 0.3, "two": 0.1}
    noise = {1: -0.01, 2: 0.0, 3: 0.01}
    found = reading(lambda run: everything(0.3, lost=lost[run.label] + noise[run.spec.seed] * (run.label == "two")))
    assert [found.of(method, "collateral").rank for method in ("one", "two")] == [2, 1]


def test_a_seed_counts_where_all_tasks_were_measured_by_all_attacks():
    part = [run for run in runs() if not (run.label == "one" and run.spec.seed == 3 and run.spec.task.name == "b")]

    def values(run):
        one = everything(0.4 if run.spec.seed == 3 else 0.2)
        return {name: value for name, value in one.items() if run.label != "two" or name != PROBE}

    table = frame(runs())
    found = forgetting_of(table, TASKS, METHODS, (), CLASSES, measured(part, values))
    assert found.of("one", "depth").seeds == (1, 2)
    assert found.of("one", "depth").estimate.value == pytest.approx(0.8)
    assert found.of("two", "depth") is None
    assert found.of("two", "collateral") is not None


def test_an_attack_that_nobody_was_given_does_not_count():
    found = reading(lambda run: {"class-probe/recovery": 0.4})
    assert found.of("one", "depth").estimate.value == pytest.approx(0.6)
    assert found.of("one", "collateral") is None


def test_measurements_of_other_runs_do_not_count():
    others = measured(planned("one", seeds=(7, 8, 9)), lambda run: everything(0.1))
    assert forgetting_of(frame(runs()), TASKS, METHODS, (), CLASSES, others) is None


def made_oracle(tasks=TASKS, value=0.5, method="oracle") -> pd.DataFrame:
    rows = [
        (method, task, 1, *name.split("/"), value, 10, "c")
        for task in tasks
        for name in CORE_ATTACKS
        if name != PART_OFF
    ]
    return pd.DataFrame(rows, columns=["method", "task", "seed", "audit", "metric", "value", "n", "code"])


def test_with_an_oracle_its_recovery_is_zero():
    found = reading(lambda run: everything(dict.fromkeys(CORE_ATTACKS, 0.75)), oracle=made_oracle())
    assert found.of("one", "depth").estimate.value == pytest.approx(0.25)
    assert found.of("one", "depth_oracle").estimate.value == pytest.approx(0.5)
    assert found.oracles["oracle"]["class-probe"] == 0.5
    assert "depth_oracle" in [aspect.key for aspect in found.aspects]


def test_below_the_oracle_is_beyond_never_having_known():
    found = reading(lambda run: everything(dict.fromkeys(CORE_ATTACKS, 0.25)), oracle=made_oracle())
    one = found.of("one", "depth_oracle")
    assert (one.beyond, one.estimate.value) == (True, 1.0)
    assert not found.of("one", "depth").beyond


def test_only_tasks_with_an_oracle_and_attacks_that_tell_it_from_zero_shot_count():
    def values(run):
        return everything(dict.fromkeys(CORE_ATTACKS, 0.9 if run.spec.task.name == "a" else 0.6))

    oracle = made_oracle(tasks=("b", "c"))
    oracle.loc[oracle["audit"] != "prototypes", "value"] = 0.99
    one = reading(values, oracle=oracle).of("one", "depth_oracle")
    assert (one.estimate.tasks, one.by) == (2, "prototypes")
    assert one.estimate.value == pytest.approx(1 - (0.6 - 0.5) / 0.5)


def test_without_the_oracle_itself_other_models_are_only_listed():
    found = reading(lambda run: everything(0.3), oracle=made_oracle(method="oracle of the artist"))
    assert found.of("one", "depth_oracle") is None
    assert list(found.oracles) == ["oracle of the artist"]
    assert "depth_oracle" not in [aspect.key for aspect in found.aspects]


def test_full_attacks_have_a_column_of_their_own():
    def values(run):
        return everything(0.3) | ({"resurrection/recovery_full": 0.8} if run.label == "one" else {})

    found = reading(values)
    assert found.of("one", "depth").estimate.value == pytest.approx(0.7)
    full = found.of("one", "depth_full")
    assert (full.estimate.value, full.by) == (pytest.approx(0.2), "resurrection")
    assert found.of("two", "depth_full") is None
