"""Error rates of intervals and letters, on boards with the effects of real ones."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adu_bench.maintenance.boards import (
    METHODS,
    SCENARIOS,
    USUAL,
    Answers,
    Effects,
    Resampled,
    answer,
    effects_of,
    expected,
    measured,
    pairs,
    resample,
)
from adu_bench.maintenance.simulation import (
    BOARDS,
    DIFFERENCES,
    LETTERS,
    MEANS,
    MEASURED,
    USED,
    main,
    markdown,
    measure,
    report,
)

ROOT = Path(__file__).parents[2]
SEEDS, IMAGES = "seeds alone, Student's t", "images alone, Student's t"
FEW = {"as used": Resampled(methods=("adu", "baseline", "bbf"), tasks="first"), "answers": Answers(clusters=40)}


@pytest.fixture(scope="module")
def effects() -> Effects:
    return measured(SCENARIOS[USUAL])


def test_drawn_boards_have_the_measured_errors(effects):
    """200 boards: the errors of the real board are found again, up to a tenth."""
    rng = np.random.default_rng(0)
    boards = [resample(rng, effects, Resampled()) for _ in range(200)]
    for pair in ((0, 2), (2, 5)):
        names = [f"m{place}" for place in pair]
        drawn = [board.difference(*names) for board in boards]
        average, single = (
            np.subtract(*part[list(pair)]) for part in (effects.clusters, effects.single.transpose(0, 2, 1))
        )
        inside = np.sqrt((average**2).sum() + (single**2).sum() / single.shape[-1] / single.shape[-1])
        assert np.mean([one.images**2 for one in drawn]) ** 0.5 == pytest.approx(inside, rel=0.1)
        spread = np.std([one.value for one in drawn])
        assert np.mean([one.error**2 for one in drawn]) ** 0.5 == pytest.approx(spread, rel=0.2)


def test_effects_of_a_drawn_board_are_those_that_it_was_drawn_with(effects):
    rng = np.random.default_rng(1)
    found = [effects_of(resample(rng, effects, Resampled(seeds=10))) for _ in range(20)]
    images = np.mean([(one.clusters**2).sum() for one in found])
    assert images == pytest.approx((effects.clusters**2).sum(), rel=0.15)
    assert np.mean([np.trace(one.seeds) for one in found]) == pytest.approx(np.trace(effects.seeds), rel=0.5)


def test_expected_h_is_the_mean_of_many_boards():
    scenario = Answers(clusters=60, tasks=1)
    rng = np.random.default_rng(2)
    values = [answer(rng, scenario).means["h"].mean() for _ in range(60)]
    assert np.mean(values) == pytest.approx(expected(scenario), abs=4 * np.std(values) / np.sqrt(60) + 0.003)


def test_false_positives_and_coverage_on_a_few_boards():
    """200 boards: at most 6 % plus three standard errors."""
    table = measure(200, 1, FEW).set_index(["scenario", "question", "procedure"])["wrong"]
    for scenario in FEW:
        for question in (DIFFERENCES, LETTERS, MEANS):
            assert table[scenario, question, USED] <= 0.06 + 3 * np.sqrt(0.06 * 0.94 / 200), (scenario, question)


def test_the_committed_error_rates_support_the_intervals_and_letters():
    table = pd.read_csv(MEASURED)
    assert set(table["boards"]) == {BOARDS}
    assert set(table["scenario"]) == set(SCENARIOS)
    rates = table.set_index(["question", "procedure", "scenario"])["wrong"]
    for scenario in SCENARIOS:
        for question in (DIFFERENCES, MEANS, LETTERS):
            assert rates[question, USED, scenario] <= 0.06, (question, scenario)
    for question in (DIFFERENCES, MEANS):
        assert 0.03 <= rates[question, USED, USUAL] <= 0.07
    assert rates[DIFFERENCES, SEEDS, USUAL] > 0.08
    assert rates[DIFFERENCES, IMAGES, USUAL] > 0.1


def test_the_command_writes_the_csv_table_and_the_report(tmp_path):
    csv, text = tmp_path / "made" / "table.csv", tmp_path / "table.md"
    assert main(["--boards", "1", "--out", str(csv), "--report", str(text)]) == 0
    table = pd.read_csv(csv)
    assert text.read_text() == report(table)
    assert markdown(table) in report(table)
    assert set(table["scenario"]) == set(SCENARIOS)


def test_the_committed_report_agrees_with_the_csv_table():
    assert (ROOT / "reports" / "statistics.md").read_text(encoding="utf-8") == report(pd.read_csv(MEASURED))


def test_the_page_on_statistics_says_what_was_measured():
    rates = pd.read_csv(MEASURED).set_index(["procedure", "question", "scenario"])["wrong"].sort_index() * 100
    page = " ".join((ROOT / "docs" / "statistics.md").read_text(encoding="utf-8").split())

    def worst(procedure: str, question: str) -> float:
        return rates[procedure, question].max()

    difference, mean, letters = (rates[USED, question] for question in (DIFFERENCES, MEANS, LETTERS))
    formula = next(name for name in rates.index.levels[0] if "Satterthwaite" in name)
    for sentence in (
        f"of differences miss the true value on {difference.min():.1f} to {difference.max():.1f} %",
        f"intervals of means on {mean.min():.1f} to {mean.max():.1f} %",
        f"letters separate any two of the methods on {letters.min():.0f} to {letters.max():.1f} %",
        f"these are {difference[USUAL]:.1f}, {mean[USUAL]:.1f} and {letters[USUAL]:.1f} %",
        f"gives up to {worst(formula, DIFFERENCES):.1f} % for differences and {worst(formula, LETTERS):.0f} % for",
        f"seeds alone up to {worst(SEEDS, DIFFERENCES):.0f} and {worst(SEEDS, LETTERS):.0f} %",
        f"images alone up to {worst(IMAGES, DIFFERENCES):.0f} and {worst(IMAGES, LETTERS):.0f} %",
    ):
        assert sentence in page, sentence


def test_all_pairs_of_the_papers_methods():
    assert len(pairs(METHODS)) == 15


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_measured_table_is_what_the_simulation_gives():
    """2,000 boards per scenario, fixed seed: the simulation reproduces the committed table exactly."""
    text = StringIO()
    measure().to_csv(text, index=False, lineterminator="\n")
    assert text.getvalue() == MEASURED.read_text(encoding="utf-8")
