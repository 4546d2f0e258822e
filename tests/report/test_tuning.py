"""The page on tuning: what was taken and why, and correlations within a method over runs that all trials have."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from adu_bench.registry import Catalogue
from adu_bench.report.tables.tuning import Tuned, agreement, chosen_fields, read_search, tuning_page
from adu_bench.runner.tune import Search
from adu_bench.suites import load_suite
from adu_bench.workflows.tune import write_tuning_page

COLUMNS = ["trial", "task", "seed", "h"]


def pool(by_trial: dict[int, list[float]]) -> pd.DataFrame:
    """Runs of trials on the tasks a, b, c ... with one seed."""
    rows = [(trial, task, 101, h) for trial, values in by_trial.items() for task, h in zip("abc", values, strict=False)]
    return pd.DataFrame(rows, columns=COLUMNS)


def tuned(method="adu", chosen=2, gain: float | None = 0.03, **changes) -> Tuned:
    given = {
        "method": method,
        "trials": {0: {}, 1: {"lr": 0.1, "lam": 1.0}, 2: {"lr": 0.01, "lam": 4.0}, 3: {"lr": 0.2, "lam": 9.0}},
        # Trial 3 was dropped after task a, and would be the best on the tasks that it never saw.
        "validation": pool({0: [0.40, 0.9], 1: [0.45, 0.1], 2: [0.50, 0.2], 3: [0.30]}),
        "test": pool({0: [0.41, 0.9], 1: [0.56, 0.1], 2: [0.52, 0.2], 3: [0.31]}),
        "chosen": chosen, "best": 2, "gain": gain, "error": 0.01,
        "ranges": {"lr": (0.003, 0.3), "lam": (0.1, 100.0)}, "defaults": {"lr": 0.0025, "lam": 10.0},
    }  # fmt: skip
    return Tuned(**{**given, **changes})


def test_correlation_and_regret_are_over_the_runs_that_all_trials_have():
    found = agreement(tuned())
    assert (found.trials, found.runs) == (4, 1)
    # Ranks on task a: validation 2, 3, 4, 1; test 2, 4, 3, 1; 1 - 6 x 2 / (4 x 15) = 0.8.
    assert found.spearman == pytest.approx(0.8)
    assert found.regret == pytest.approx(0.56 - 0.52)


def test_without_test_scores_or_spread_there_is_no_correlation():
    assert agreement(tuned(test=pool({}))).spearman is None
    flat = tuned(validation=pool({0: [0.5], 1: [0.5], 2: [0.5]}), test=pool({0: [0.4], 1: [0.5], 2: [0.6]}))
    assert agreement(flat).spearman is None
    assert agreement(flat).regret == pytest.approx(0.0)


def test_the_page_says_what_was_taken_and_why_and_pools_no_methods():
    kept = tuned("baseline", chosen=0, gain=0.005)
    assert chosen_fields(kept) == {"lr": 0.0025, "lam": 10.0}
    assert chosen_fields(tuned()) == {"lr": 0.01, "lam": 4.0}
    lines = tuning_page("emoji-mini", [tuned(), kept]).splitlines()
    assert "| `adu` | 4 | 7 | lr 0.01, lam 4 | +3.0 | 1.0 | tuned | 0.80 | 4.0 |" in lines
    assert "| `baseline` | 4 | 7 | lr 0.0025, lam 10 | +0.5 | 1.0 | defaults | 0.80 | 15.0 |" in lines
    assert "| `adu` | lam | 0.1 to 100 | 10 | 4 |" in lines
    assert sum(line.startswith("| `") for line in lines) == 2 + 4


def test_defaults_that_win_need_no_final():
    line = next(
        line
        for line in tuning_page("s", [tuned(chosen=0, best=0, gain=None, error=None)]).splitlines()
        if "`adu`" in line
    )
    assert "| - | - | defaults |" in line


def test_the_page_is_made_from_the_logs_of_finished_searches(tmp_path):
    """Made-up scores: the more trial 2 is ahead, the surer it is taken.

    The page has the searches that are finished with its number of trials; all else in the folder is left out.
    """
    suite, catalogue = load_suite("toy"), Catalogue()
    for label, number in (("adu", 4), ("adu", 3), ("baseline", 3)):
        search = Search(suite, *catalogue.select([label]), number, tmp_path, score_test=True)
        while jobs := search.missing():
            for job in jobs:
                h = 0.3 + 0.1 * (job.trial == 2) + 0.01 * (job.spec.seed % 2) + 0.02 * job.trial
                head = {"key": job.spec.key, "trial": job.trial, "fields": {}, "task": job.spec.task.name}
                for path in job.logs.values():
                    path.parent.mkdir(exist_ok=True)
                    with path.open("a") as log:
                        print(json.dumps({**head, "seed": job.spec.seed, "h": h}), file=log)
        found = read_search(search)
        assert (found.chosen, found.best) == (2, 2)
        assert found.gain == pytest.approx(0.14)
        assert len(found.validation) == len({(run.trial, run.task, run.seed) for run in found.validation.itertuples()})
        assert set(found.validation["trial"]) == set(range(number))
        assert agreement(found).spearman == pytest.approx(1.0)
        assert agreement(found).regret == pytest.approx(0.0)
    # A search that goes on, the format of before, a method that is not known, and a group.
    (tmp_path / "toy" / "clipfit.jsonl").write_text(json.dumps({"key": "k", "trial": 1, "h": 0.5}) + "\n")
    (tmp_path / "toy" / "bbf.jsonl").write_text('{"key": "k", "fields": {}, "h": 0.4}\n[1]\n{"h": 0.1}\n')
    for name in ("stranger", "paper", "coin"):
        (tmp_path / "toy" / f"{name}.jsonl").write_text("")
    page = write_tuning_page(suite, catalogue, 3, tmp_path)
    assert page == tmp_path / "toy" / "README.md"
    text = page.read_text()
    assert "| `adu` | 3 |" in text
    assert not any(f"`{name}`" in text for name in ("bbf", "stranger", "paper", "coin"))
    assert "| `baseline` | 3 |" in text
    assert "clipfit" not in text
    lr = catalogue.presets["adu"][1].ranges["lr"]
    assert f"| `adu` | lr | {lr[0]:g} to {lr[1]:g} | 0.0025 |" in text
