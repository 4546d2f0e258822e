"""What compare and power print."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from adu_bench.metrics.frame import score
from adu_bench.report.terminal.comparison import (
    WIDTH,
    comparison_record,
    other_domains,
    power_record,
    print_comparison,
    print_power,
    verdict,
)
from adu_bench.stats.domains import on_other_domains
from adu_bench.stats.paired import compare
from adu_bench.stats.power import powers
from adu_bench.stats.sample import samples
from tests.stats.made import MadeRun, board_runs


def compared(runs):
    return compare(score(runs, "made-up"), runs, {run.key: run.label for run in runs}, "one", "two")


def printed(show) -> str:
    console = Console(width=WIDTH, file=io.StringIO())
    show(console)
    return " ".join(console.file.getvalue().split())


ALL_SETS = (("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"))


@pytest.fixture(scope="module")
def found():
    return compared(board_runs(np.random.default_rng(0), forgets=ALL_SETS))


def test_one_table_one_sentence_on_other_domains_and_a_verdict(found):
    text = printed(lambda console: print_comparison(found, console))
    assert text.count("On these tasks, with other few-shot draws and other test images") == 1
    assert text.count("On other domains:") == 1
    assert "(t over three domains, p" in text
    assert "three domains can only show differences above" in text
    assert text.endswith(verdict(found))
    assert json.loads(json.dumps(comparison_record(found)))["other_domains"]["domains"] == 3


def test_tasks_of_one_kind_say_nothing_about_other_domains():
    text = other_domains(compared(board_runs(np.random.default_rng(1))).other_domains)
    assert text.startswith("On other domains: these tasks cannot tell; an interval needs, for each domain,")


def test_equal_answers_are_no_difference_and_nobody_is_ahead():
    runs = [run for run in board_runs(np.random.default_rng(2)) if run.label == "one"]
    twins = []
    for run in runs:
        spec = replace(run.spec, method=replace(run.spec.method, name="two"))
        twins.append(MadeRun(spec, "two", run.frame))
    text = verdict(compared(runs + twins))
    assert "no difference" in text
    assert "ahead" not in text
    assert "0.0" not in text


def test_a_small_difference_that_is_certain_is_not_called_a_lead():
    answers = [run for run in board_runs(np.random.default_rng(2)) if run.label in ("one", "two")]
    found = compared(answers)
    whole = next(one for one in found.differences if one.metric == "h")
    tiny = replace(whole, estimate=replace(whole.estimate, value=0.0004, low=0.0003, high=0.0005, p=1e-6))
    text = verdict(replace(found, differences=(tiny,)))
    assert "no difference" in text
    assert "more than" not in text


def test_with_one_seed_the_verdict_says_why_nothing_is_tested():
    text = verdict(compared(board_runs(np.random.default_rng(3), seeds=1)))
    assert text.endswith("Too few seeds: there is 1; an interval needs 3.")


def power_of(wanted: float, **options):
    runs = board_runs(np.random.default_rng(4), **options)
    tasks = list(dict.fromkeys(run.spec.task.name for run in runs))
    sample = samples(runs, {run.key: run.label for run in runs}, {None: tasks}, ("h",))
    sets = list(dict.fromkeys(run.spec.task.forget for run in runs))
    domains = on_other_domains(np.random.default_rng(5).normal(size=len(sets)), sets, ("a", "b", "c"))
    return powers("one", "two", sample, domains, wanted)


def test_power_says_where_seeds_cannot_help():
    found = power_of(0.001, forgets=ALL_SETS)
    text = printed(lambda console: print_power("made-up", "one", "two", found, 0.001, console))
    assert "'none': 1,000 seeds do not show 0.1 points, because the test images are too few." in text
    assert "cannot show any difference" in text
    assert "> 100" not in text
    assert "0.1 points need more than 1,000 domains." in text
    assert power_record(found)["domains"]["detectable"] > 0


def test_power_with_one_seed_and_tasks_of_one_kind():
    found = power_of(0.02, seeds=1)
    text = printed(lambda console: print_power("made-up", "one", "two", found, 0.02, console))
    assert "'?': too few seeds to estimate." in text
    assert "On other domains: these tasks cannot tell;" in text
