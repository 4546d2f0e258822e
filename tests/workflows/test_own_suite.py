"""Rows of a suite and of a method that are not shipped, from the command that writes them to those that read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from adu_bench.registry import Catalogue
from adu_bench.runner.plan import plan
from adu_bench.suites import load_suite
from tests.command import call
from tests.conftest import write_run
from tests.submission.conftest import METHOD, possible_predictions

SUITE = """title: Mine
dataset: toy
template: "a picture of a {}."
classes: {file: names.txt}
forget: [[filled], [outline]]
shots: 4
seeds: [1]
backbone: emoji-clip
training: {batch: 32, precision: fp32}
methods: [zero-shot]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a suite, a method, their runs, and rows written from these."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "suites").mkdir()
    (folder / "suites" / "mine.yaml").write_text(SUITE)
    (folder / "suites" / "names.txt").write_text("circle\nstar\ncross\n")
    (folder / "blur.py").write_text(METHOD)
    suite = load_suite(str(folder / "suites" / "mine.yaml"))
    chosen = Catalogue([folder / "blur.py"]).select(["blur,zero-shot"])
    for number, run in enumerate(plan(suite, chosen).runs):
        write_run(folder / "runs", run.spec, run.label, possible_predictions(run.spec.task, number))
    write = ["leaderboard", *SELECTED, "--methods", "blur,zero-shot", "--runs", "runs", "--write", "rows"]
    call(*write, cwd=folder)
    return folder


SELECTED = ["--suite", "suites/mine.yaml", "--from", "blur.py"]


@pytest.mark.parametrize(
    "command",
    [
        ["leaderboard", *SELECTED, "--rows", "rows"],
        ["leaderboard", "--suite", "mine", "--from", "blur.py", "--rows", "rows"],
        ["compare", "blur", "zero-shot", *SELECTED, "--rows", "rows"],
        ["leaderboard", "--check", "--from", "blur.py", "--rows", "rows"],
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_rows_that_were_just_written_are_read(place, command):
    shown = call(*command, cwd=place)
    assert "mine" in shown.stdout or "current" in shown.stdout
    assert "earlier version" not in shown.stdout + shown.stderr


def test_a_bundle_becomes_a_row_that_is_read(place):
    made = call("submit", "blur", *SELECTED, "--out", "b.zip", cwd=place).stdout
    assert "adu-bench verify b.zip --suite suites/mine.yaml\n" in made
    call("verify", "b.zip", "--suite", "suites/mine.yaml", "--write", "verified", cwd=place)
    assert "blur" in call("leaderboard", *SELECTED, "--rows", "verified", cwd=place).stdout
    # The file of class names lies elsewhere.
    assert load_suite("mine", place / "verified" / "mine" / "suite.yaml").classes == ("circle", "star", "cross")
    refused = call("leaderboard", "--suite", "mine", "--rows", "verified", cwd=place, status=2).stderr
    assert refused.splitlines() == [
        "No row of 'mine' in 'verified' can be shown.",
        "There is no method called 'blur' here.",
        "Name the folder or file of the rows' methods: --from DIR",
    ]


def test_remedies_keep_what_the_user_typed(place):
    done = call("compare", "blur", "coin", *SELECTED, "--runs", "runs", cwd=place, status=2)
    assert done.stderr.splitlines()[-1] == ("adu-bench run --suite suites/mine.yaml --methods coin --from blur.py")
    done = call("compare", "blur", "zero-shot", "--suite", "mine", "--rows", "rows", cwd=place, status=2)
    assert done.stderr.splitlines()[-1] == "Name the folder or file of the method: --from DIR"


def test_a_part_of_a_block_is_not_written_as_a_row(place):
    part = ["--runs", "runs", "--write", "other", "--limit", "1", "--seeds", "1,"]
    refused = call("leaderboard", *SELECTED, *part, cwd=place, status=2).stderr
    assert refused.startswith("--seeds and --limit cannot be applied to the committed rows of")
    assert not (place / "other").exists()


def test_a_board_names_the_methods_that_ran_on_its_data(place):
    for number, run in enumerate(plan(load_suite("emoji-mini"), Catalogue().select(["coin"])).runs[:1]):
        write_run(place / "runs", run.spec, run.label, possible_predictions(run.spec.task, number))
    shown = call("leaderboard", *SELECTED, "--runs", "runs", cwd=place).stdout
    assert "blur" in shown
    assert "coin" not in shown
