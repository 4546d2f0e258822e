"""False positives and coverage of the statistical procedures on boards with the dependence of real ones."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adu_bench.maintenance.boards import SCENARIOS, Effects, board, components, draw, subsets
from adu_bench.maintenance.simulation import BOARDS, main, markdown, measure, report
from adu_bench.metrics.frame import score
from adu_bench.stats.measured import ALL, ALONE, APART, MEASURED, USUAL, view_name, wrong
from adu_bench.stats.paired import WILCOXON
from adu_bench.stats.scores import forget_sets, scores

ROOT = Path(__file__).parents[2]

VALID = [
    ("t over domains", view_name(size)) for size in (None, 1, 2, 3)
] + [
    ("letters: t over domains, Holm", ALL),
    ("letters: t over domains, Holm", ALONE),
    ("mean of a method", ALL),
    ("mean of a method", ALONE),
    ("interquartile mean of a method", ALL),
    ("interquartile mean of a method", ALONE),
    ("worst task of a method, new seeds", ALL),
    ("difference on these tasks, new seeds", ALL),
    ("bootstrap over data sets, studentised", "6 data sets"),
]  # fmt: skip
"""The procedures that the commands use, and the views on which they are valid."""
NAIVE = [
    (WILCOXON, ALL),
    ("t over tasks", ALL),
    (APART, ALONE),
    ("Friedman, chi-square", ALL),
    ("Friedman, shuffled", ALONE),
    ("Nemenyi", ALL),
    ("Nemenyi", ALONE),
]
INTERVALS = [("t over domains", view_name(size)) for size in (None, 1, 2, 3)] + [
    (what, view) for what in ("mean of a method", "interquartile mean of a method") for view in (ALL, ALONE)
]
"""Those with a coverage of 93 to 97 %; others may be conservative."""
LIKELY = [name for name in SCENARIOS if name not in ("no domain effects", "effects add up")]


def test_boards_have_the_variances_they_are_asked_for():
    rng = np.random.default_rng(0)
    effects = Effects(1.0, 0.5, 0.3, 0.6, 0.2)
    gaps = np.array([np.subtract(*board(rng, effects).values) for _ in range(4_000)])
    # A task that forgets one domain: its effect, the mean of three retained ones, the task's, a third of the seeds'.
    expected = 1.0 + 0.25 / 3 + 0.09 + (0.36 + 0.04) / 3
    assert gaps.mean(axis=2)[:, 0].var() == pytest.approx(expected, rel=0.08)
    # Two tasks share a domain of the pair, two domains that they retain, and the seeds.
    common = np.cov(gaps.mean(axis=2)[:, 0], gaps.mean(axis=2)[:, 4])[0, 1]
    assert common == pytest.approx(1.0 / 2 + 2 * 0.25 / 6 + 0.04 / 3, rel=0.12)


def test_effects_of_a_domain_in_its_two_roles_are_as_alike_as_asked():
    """Two tasks that forget one domain each share their effects only through what the other one retains."""
    effects = Effects(1.0, 1.0, alike=0.6)
    drawn = draw(np.random.default_rng(3), effects, 6_000)[..., 0]
    gaps = drawn[:, 0] - drawn[:, 1]
    # Domain 0 forgotten and retained, domain 1 likewise: twice 0.6 / 3; the other two retained by both: 2 / 9.
    assert np.cov(gaps[:, 0], gaps[:, 1])[0, 1] == pytest.approx(2 * 0.6 / 3 + 2 / 9, rel=0.1)


def test_components_are_found_again():
    rng = np.random.default_rng(1)
    effects = Effects(1.0, 0.7, 0.3, 0.5, 0.1, alike=0.6)
    found = [components(board(rng, effects, 6)) for _ in range(150)]
    for name in ("forgotten", "retained", "task", "seed", "run"):
        mean = np.mean([getattr(one, name) ** 2 for one in found])
        assert np.sqrt(mean) == pytest.approx(getattr(effects, name), abs=0.06), name
    assert np.mean([one.alike for one in found]) == pytest.approx(0.6, abs=0.15)


def test_the_first_scenarios_are_what_the_committed_board_shows():
    from adu_bench.leaderboard.rows import read_rows

    paper = ["adu", "adu-released", "baseline", "bbf", "clipfit", "lp-plus-plus"]
    runs = [run for run in read_rows(ROOT / "leaderboards", "emoji") if run.label in paper]
    frame, forget = score(runs, "emoji"), forget_sets(runs)
    steady = [name for name in paper if name != "adu-released"]
    for scenario, methods in ((USUAL, paper), ("steady methods", steady)):
        found = components(scores(frame, forget, "h", methods))
        for name in ("retained", "task", "seed", "run"):
            ratio = getattr(found, name) / found.forgotten
            assert getattr(SCENARIOS[scenario], name) == pytest.approx(ratio, abs=0.07), (scenario, name)
        assert SCENARIOS[scenario].alike == pytest.approx(found.alike, abs=0.05)


def test_false_positives_on_a_few_boards():
    """250 boards: valid procedures stay below 6 % plus three standard errors; naive ones are above 15 %."""
    table = measure(250, 1, {USUAL: SCENARIOS[USUAL]}, ["two methods"]).set_index(["procedure", "view"])["wrong"]
    for size in (None, 1, 2, 3):
        assert table["t over domains", view_name(size)] <= 0.06 + 3 * np.sqrt(0.06 * 0.94 / 250)
    for procedure in ("t over tasks", WILCOXON, "percentile bootstrap over tasks", "t over means by domain"):
        assert table[procedure, ALL] > 0.15


def test_coverage_on_a_few_boards():
    table = measure(250, 2, {USUAL: SCENARIOS[USUAL]}, ["intervals", "data sets"])
    missed = table.set_index(["procedure", "view"])["wrong"]
    for key in missed.index:
        if key in VALID:
            assert missed[key] <= 0.07 + 3 * np.sqrt(0.07 * 0.93 / 250), key
    assert missed["bootstrap over data sets, percentile", "6 data sets"] > 0.07


def test_the_committed_error_rates_support_the_procedures_of_the_commands():
    """At most 6 % false positives if effects are means, 93 to 97 % coverage with the effects of a real board."""
    table = pd.read_csv(MEASURED)
    assert set(table["boards"]) == {BOARDS}
    assert set(table["scenario"]) == set(SCENARIOS)
    for scenario in LIKELY:
        own = table[table["scenario"] == scenario].set_index(["procedure", "view"])["wrong"]
        assert all(own[key] <= 0.06 for key in VALID if key in own), scenario
    usual = table[table["scenario"] == USUAL].set_index(["procedure", "view"])["wrong"]
    for key in INTERVALS:
        assert 0.03 <= usual[key] <= 0.07, (key, usual[key])
    for key in NAIVE:
        assert usual[key] > 0.15, key


def test_measured_shares_are_looked_up():
    assert wrong(WILCOXON, None) > 0.15
    assert wrong("reading tea leaves", None) is None


def test_the_command_writes_the_csv_table_and_the_report(tmp_path):
    csv, text = tmp_path / "made" / "table.csv", tmp_path / "table.md"
    assert main(["--boards", "2", "--out", str(csv), "--report", str(text)]) == 0
    table = pd.read_csv(csv)
    assert text.read_text() == report(table)
    assert markdown(table) in report(table)
    assert set(table["scenario"]) == set(SCENARIOS)
    assert {"two methods", "6 methods", "intervals", "data sets"} == set(table["question"])


def test_the_committed_report_agrees_with_the_csv_table():
    assert (ROOT / "reports" / "statistics.md").read_text(encoding="utf-8") == report(pd.read_csv(MEASURED))


def test_subsets_are_the_tasks_of_a_suite():
    assert len(subsets()) == 14
    assert subsets(3, (1,)) == (("d0",), ("d1",), ("d2",))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_measured_table_is_what_the_simulation_gives():
    """4,000 boards per scenario, fixed seed: the simulation reproduces the committed table exactly."""
    text = StringIO()
    measure().to_csv(text, index=False, lineterminator="\n")
    assert text.getvalue() == MEASURED.read_text(encoding="utf-8")
