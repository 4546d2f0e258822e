"""The search for hyper-parameters, with made-up scores in place of runs."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import yaml

from adu_bench.core.errors import UserError
from adu_bench.core.seeds import derive
from adu_bench.registry import Catalogue
from adu_bench.runner.trial import _append, read_log
from adu_bench.runner.tune import Search, draw_trials, free_fields, tuning_seeds, write_settings
from adu_bench.suites import load_suite
from adu_bench.workflows.tune import tune_methods

TRIALS = 12


@pytest.fixture(scope="module")
def suite():
    return load_suite("emoji")


def choice(name: str):
    return Catalogue().select([name])[0]


def advance(search: Search, h) -> list:
    """Score the runs of the next stage with ``h(trial, task, seed)``, and return them."""
    jobs = search.missing()
    for pool, path in search.logs.items():
        for job in jobs:
            value = h(job.trial, job.spec.task.name, job.spec.seed) if pool == "validation" else 0.5
            _append(path, {"key": job.spec.key, "trial": job.trial, "h": value})
    return jobs


def finish(search: Search, h) -> list[list]:
    stages = []
    while jobs := advance(search, h):
        stages.append(jobs)
    return stages


def noise(*names) -> float:
    """Return a standard normal number that depends on the names alone."""
    return float(np.random.default_rng(derive(0, *map(str, names))).normal())


def test_trials_are_a_latin_hypercube_that_methods_share():
    adu, baseline = (draw_trials(choice(name), TRIALS) for name in ("adu", "baseline"))
    assert adu[0] == baseline[0] == {}
    assert [trial["lr"] for trial in adu[1:]] == [trial["lr"] for trial in baseline[1:]]
    for name, (low, high) in free_fields(choice("adu")).items():
        places = [math.log(trial[name] / low) / math.log(high / low) * (TRIALS - 1) for trial in adu[1:]]
        # Two digits are kept of each value.
        inner = [place for place in places if 0.1 < place % 1 < 0.9]
        assert len({int(place) for place in inner}) == len(inner) > 5


@pytest.mark.parametrize("name", ["adu-released", "adu-no-ddl", "adu-mmd-only", "adu-text-prompts", "adu-no-instapg"])
def test_presets_get_their_methods_trials_in_the_fields_that_they_leave_free(name):
    own, whole = draw_trials(choice(name), TRIALS), draw_trials(choice("adu"), TRIALS)
    fixed = choice(name).preset.fields
    assert own == [{key: value for key, value in trial.items() if key not in fixed} for trial in whole]


def test_the_papers_values_lie_inside_the_ranges():
    ranges = choice("adu").entry.ranges
    assert ranges["gamma"][0] < 30 < ranges["gamma"][1]
    assert ranges["lam"][0] < 0.5 < 10 < ranges["lam"][1]
    for name in ("adu", "baseline", "clipfit", "prompt-tuning"):
        assert choice(name).entry.ranges["lr"] == ranges["lr"]
        assert ranges["lr"][0] < choice(name).entry.fields["lr"].default < ranges["lr"][1]


def test_a_method_without_free_ranges_is_refused():
    with pytest.raises(UserError, match="cannot be tuned"):
        draw_trials(choice("zero-shot"), TRIALS)


def test_stages_halve_the_trials_and_use_all_single_domain_tasks_and_new_seeds(suite, tmp_path):
    search = Search(suite, choice("baseline"), TRIALS, tmp_path)
    stages = finish(search, lambda trial, task, seed: 0.3 + 0.01 * trial)
    shape = [(len({job.trial for job in jobs}), sorted({job.spec.task.name for job in jobs}),
              sorted({job.spec.seed for job in jobs})) for jobs in stages]  # fmt: skip
    all_four = ["glyph", "line", "openmoji", "twemoji"]
    assert shape == [
        (12, ["openmoji", "twemoji"], [101]),
        (6, ["glyph", "line"], [101]),
        (3, all_four, [102]),
        (2, all_four, [103, 104]),
    ]
    assert sum(map(len, stages)) == search.most() == 64
    assert not set(suite.seeds) & {job.spec.seed for jobs in stages for job in jobs}
    chosen = search.chosen()
    assert (chosen.trial, chosen.best) == (11, 11)
    assert chosen.gain == pytest.approx(0.11)
    assert chosen.error == pytest.approx(0, abs=1e-12)
    assert chosen.fields == draw_trials(choice("baseline"), TRIALS)[11]


def test_a_stage_judges_by_all_its_earlier_tasks_and_seeds(suite, tmp_path):
    """Trial 1 wins the second seed alone, trial 2 the mean over everything."""
    search = Search(suite, choice("baseline"), 4, tmp_path)

    def h(trial, task, seed):
        return {0: 0.3, 1: 0.55 if seed == 102 else 0.4, 2: 0.5, 3: 0.2}[trial]

    stages = finish(search, h)
    assert {job.trial for job in stages[1]} == {1, 2}
    assert search.chosen().best == 2


def test_the_defaults_stay_unless_the_best_is_better_beyond_its_noise(suite, tmp_path):
    """Trial 7 wins the stages in both; with the final's new seeds its lead is small in one, and stays in the other."""
    found = []
    for number, lead in enumerate((0.005, 0.08)):
        search = Search(suite, choice("baseline"), TRIALS, tmp_path / str(number))

        def h(trial, task, seed, lead=lead):
            own = 0.08 if seed < 103 else lead
            return 0.4 + own * (trial == 7) + 0.02 * noise(trial, task, seed)

        finish(search, h)
        found.append(search.chosen())
    small, large = found
    assert small.trial == 0
    assert small.best == 7
    assert small.gain < small.error
    assert small.fields == {"lr": choice("baseline").entry.fields["lr"].default}
    assert (large.trial, large.best) == (7, 7)
    assert large.gain > large.error


def test_defaults_that_win_need_no_final(suite, tmp_path):
    search = Search(suite, choice("baseline"), TRIALS, tmp_path)
    stages = finish(search, lambda trial, task, seed: 0.5 - 0.01 * trial)
    assert len(stages) == 3
    assert search.chosen() == search.chosen().__class__(0, {"lr": 2.5e-3}, 0, None, None, pytest.approx(0.5))


def test_defaults_that_win_all_stages_together_stay_although_another_trial_wins_the_last(suite, tmp_path):
    search = Search(suite, choice("baseline"), TRIALS, tmp_path)

    def h(trial, task, seed):
        return {0: 0.5, 4: 0.51 if seed == 102 else 0.45}.get(trial, 0.3)

    assert len(finish(search, h)) == 3
    assert (search.chosen().trial, search.chosen().fields) == (0, {"lr": 2.5e-3})


def test_a_search_continues_after_an_interruption_and_never_reads_test_scores(suite, tmp_path):
    search = Search(suite, choice("baseline"), TRIALS, tmp_path, score_test=True)
    first = advance(search, lambda trial, task, seed: 0.3 + 0.01 * trial)
    log = search.logs["validation"]
    log.write_text(log.read_text()[:-5])
    (lost,) = search.missing()
    assert lost.spec.key == first[-1].spec.key
    assert lost.missing() == ["validation"]
    finish(search, lambda trial, task, seed: 0.3 + 0.01 * trial)
    before = search.chosen()
    test = search.logs["test"]
    test.write_text("".join(json.dumps({**record, "h": 1.0}) + "\n" for record in read_log(test).values()))
    assert search.chosen() == before


def test_tuning_seeds_avoid_those_of_the_board(suite):
    from dataclasses import replace

    assert tuning_seeds(replace(suite, seeds=(101, 103)), 3) == [102, 104, 105]


def test_chosen_fields_are_added_to_what_the_file_holds(tmp_path):
    path = tmp_path / "toy" / "settings.yaml"
    write_settings(path, {"adu": {"lr": 0.1}})
    write_settings(path, {"baseline": {"lr": 0.2}})
    assert yaml.safe_load(path.read_text()) == {"adu": {"lr": 0.1}, "baseline": {"lr": 0.2}}
    assert list(path.parent.iterdir()) == [path]
    path.write_text("")
    write_settings(path, {"adu": {"lr": 0.1}})
    assert yaml.safe_load(path.read_text()) == {"adu": {"lr": 0.1}}


@pytest.mark.parametrize("text", ["- adu", "adu: [", "adu", "\x00"])
def test_a_search_does_not_start_if_its_result_could_not_be_written(text, tmp_path):
    path = tmp_path / "toy" / "settings.yaml"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UserError, match="does not hold settings"):
        tune_methods(load_suite("toy"), [choice("baseline")], 3, tmp_path)
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("sets", [(("outline",),), (("outline", "filled"), ("outline", "hatched"))])
def test_suites_with_one_task_or_with_pairs_alone_are_searched(sets, tmp_path):
    search = Search(replace(load_suite("toy"), forget=sets), choice("baseline"), 3, tmp_path)
    finish(search, lambda trial, task, seed: 0.3 + 0.1 * trial)
    assert search.chosen().trial == 2
