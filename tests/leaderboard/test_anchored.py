"""docs/anchored.md says what was measured with each term of the method left out."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from adu_bench.leaderboard.aspects import CORE_ATTACKS
from adu_bench.leaderboard.forgetting import forgetting_of
from adu_bench.suites import load_suite

PAGE = Path(__file__).parents[2] / "docs" / "anchored.md"
STUDY = PAGE.parents[1] / "reports" / "studies" / "anchored-terms.csv"
WHOLE = "anchored[anchor=10.0]"
STUDENT = 4.303
"""The 97.5 % quantile of Student's distribution with two degrees of freedom, for three seeds."""


@pytest.fixture(scope="module")
def measured():
    return pd.read_csv(STUDY)


@pytest.fixture(scope="module")
def rows():
    lines = PAGE.read_text(encoding="utf-8").split("| left out |")[1].splitlines()[2:7]
    return {cells[0]: cells[1:] for line in lines if (cells := [cell.strip(" `") for cell in line[1:-1].split("|")])}


def test_the_study_is_that_of_the_suite(measured):
    (task,) = {len(set(measured["task"]))}
    assert task == len(load_suite("emoji-mini").tasks())
    assert measured.groupby("method")["seed"].nunique().eq(3).all()


def test_the_table_says_what_was_measured(measured, rows):
    answers = measured[measured["metric"].isin(["mem", "for", "h"])]
    attacks = measured[measured["metric"].str.contains("/")]
    attacks = attacks.assign(
        audit=attacks["metric"].str.partition("/")[0], metric=attacks["metric"].str.partition("/")[2]
    )
    methods = sorted(set(measured["method"]))
    found = forgetting_of(answers, sorted(set(measured["task"])), methods, methods, 15, attacks)
    by_seed = answers[answers["metric"] == "h"].groupby(["method", "seed"])["value"].mean().unstack("seed")
    means = answers.groupby(["method", "metric"])["value"].mean()
    assert len(rows) == len(methods) == 5
    for term, shown in rows.items():
        method = WHOLE if term == "nothing" else f"anchored[{term}=0.0]"
        lost = 100 * (by_seed.loc[WHOLE] - by_seed.loc[method])
        half = STUDENT * lost.std(ddof=1) / 3**0.5
        depth = found.of(method, "depth")
        assert depth.by == CORE_ATTACKS["class-probe/last_block_recovery"]
        assert shown == [
            *(f"{100 * means[method, metric]:.1f}" for metric in ("mem", "for", "h")),
            "" if term == "nothing" else f"{lost.mean():.1f} ± {half:.1f}",
            f"{100 * depth.estimate.value:.1f} ± {50 * (depth.estimate.high - depth.estimate.low):.1f}",
        ], term


def test_what_the_page_concludes_holds(measured, rows):
    text = re.sub(r"\s+", " ", PAGE.read_text(encoding="utf-8"))
    beyond = {
        term: float(cells[3].split(" ± ")[0]) > float(cells[3].split(" ± ")[1])
        for term, cells in rows.items()
        if term != "nothing"
    }
    assert beyond == {"anchor": True, "match": True, "keep": False, "gamma": False}
    assert "**`keep` and `gamma` add nothing beyond the noise.**" in text
    low, high = zip(*(map(float, cells[4].split(" ± ")) for cells in rows.values()), strict=True)
    assert max(low) - min(low) < min(high) + max(high)
