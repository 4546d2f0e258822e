"""Runs that take turns compute what they compute alone."""

from __future__ import annotations

import torch
from torch import nn

from adu_bench.clip.turns import Parted, Turns, clock, current, shares_steps, together, training_step

CPU = torch.device("cpu")


def doubled(brought):
    return [2 * one for one in brought]


def test_a_step_serves_all_runs_at_once_and_each_gets_its_own_result():
    calls = []

    def joint(brought):
        calls.append(list(brought))
        return doubled(brought)

    def task(number):
        return [together("forward", number, joint), together("backward", 10 * number, joint)]

    found = Turns(CPU).run([lambda number=number: task(number) for number in (1, 2, 3)])
    assert found == [[2, 20], [4, 40], [6, 60]]
    assert calls == [[1, 2, 3], [10, 20, 30]]


def test_alone_a_step_is_a_plain_call():
    assert current() is None
    assert together("forward", 4, doubled) == 8


def test_a_run_draws_what_it_draws_alone():
    def task(seed):
        torch.manual_seed(seed)
        drawn = [torch.rand(2)]
        for _ in range(3):
            together("forward", 0, doubled)
            drawn.append(torch.rand(2))
        return torch.cat(drawn)

    alone = [task(seed) for seed in (1, 2, 3)]
    found = Turns(CPU).run([lambda seed=seed: task(seed) for seed in (1, 2, 3)])
    assert all(torch.equal(one, other) for one, other in zip(alone, found, strict=True))


def test_runs_of_different_length_and_with_several_passes_per_step_go_on():
    rounds = []

    def joint(brought):
        rounds.append(sorted(brought))
        return brought

    def task(name, steps, passes):
        for _ in range(steps):
            for _ in range(passes):
                together("forward", name, joint)
            together("backward", name.upper(), joint)
        return name

    assert Turns(CPU).run([lambda: task("a", 3, 1), lambda: task("b", 1, 2)]) == ["a", "b"]
    # A backward pass waits until both are in front of one.
    assert rounds == [["a", "b"], ["b"], ["A", "B"], ["a"], ["A"], ["a"], ["A"]]


def test_a_run_that_fails_does_not_stop_the_others():
    def bad():
        together("forward", 1, doubled)
        raise ValueError("this one")

    def good():
        return [together("forward", 1, doubled) for _ in range(3)]

    failed, *rest = Turns(CPU).run([bad, good, good])
    assert isinstance(failed, ValueError)
    assert rest == [[2, 2, 2], [2, 2, 2]]


def test_a_joint_step_that_fails_parts_all_of_its_runs():
    def joint(brought):
        raise torch.OutOfMemoryError("too many")

    found = Turns(CPU).run([lambda: together("forward", 1, joint)] * 2)
    assert all(isinstance(one, Parted) and "OutOfMemoryError" in str(one) for one in found)


def test_gradients_of_runs_that_share_a_graph_are_those_of_each_alone():
    torch.manual_seed(0)
    frozen = nn.Linear(4, 4).requires_grad_(False)

    def forward(brought):
        return list(frozen(torch.cat(brought)).tanh().split([len(one) for one in brought]))

    def backward(totals):
        torch.autograd.backward(totals)
        return [None] * len(totals)

    def task(seed):
        torch.manual_seed(seed)
        weight = torch.randn(3, 4, dtype=torch.float32, requires_grad=True)
        out = together("forward", weight, forward)
        # The loss of one run is not a number; it is nobody else's.
        together("backward", (out * (float("nan") if seed == 2 else 1)).square().sum(), backward)
        return weight.grad

    alone = [task(seed) for seed in (1, 2, 3)]
    found = Turns(CPU).run([lambda seed=seed: task(seed) for seed in (1, 2, 3)])
    assert torch.allclose(found[0], alone[0])
    assert found[1].isnan().all()
    assert torch.allclose(found[2], alone[2])


def test_only_a_training_step_is_shared_and_only_in_a_group():
    def task():
        before = shares_steps()
        with training_step():
            inside = shares_steps()
        return before, inside, shares_steps()

    assert task() == (False, False, False)
    assert Turns(CPU).run([task, task]) == [(False, True, False)] * 2


def test_the_seconds_of_runs_add_up_to_those_of_the_group(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("adu_bench.clip.turns.time.perf_counter", lambda: now[0])

    def joint(brought):
        now[0] += 8
        return brought

    def task(own, weight):
        start = clock()
        now[0] += own
        together("forward", 0, joint, weight)
        now[0] += own
        return clock() - start

    # Eight seconds of the joint step are shared as 1 to 3.
    assert Turns(CPU).run([lambda: task(1, 1), lambda: task(2, 3)]) == [1 + 2 + 1, 2 + 6 + 2]
    assert now[0] == 14
