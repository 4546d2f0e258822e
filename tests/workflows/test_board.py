"""Committed rows show what is asked for, or say why they cannot."""

import shutil

import pytest

from adu_bench.cli.main import main
from adu_bench.core.errors import UserError
from adu_bench.leaderboard.rows import rows_dir
from adu_bench.workflows.board import Results, board_of
from adu_bench.workflows.selection import Selection


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Three committed rows, so that boards are quick to make."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "emoji-mini").mkdir()
    for name in ("adu", "baseline", "zero-shot"):
        for ending in ("json", "parquet"):
            shutil.copy(rows_dir() / "emoji-mini" / f"{name}.{ending}", folder / "emoji-mini")
    return folder


def test_the_chosen_methods_of_committed_rows_are_shown(rows):
    board = board_of(Selection(methods="adu,zero-shot"), Results(rows=str(rows)))
    assert {row.method for row in board.rows} == {"adu", "zero-shot"}
    with pytest.raises(UserError, match=r"row of 'emoji-mini'.*adu, baseline, zero-shot"):
        board_of(Selection(methods="bbf"), Results(rows=str(rows)))


def test_a_group_means_those_of_its_methods_that_have_rows(rows):
    board = board_of(Selection(methods="reference"), Results(rows=str(rows)))
    assert [row.method for row in board.rows] == ["zero-shot"]


@pytest.mark.parametrize(
    "changes",
    [{"seeds": (1,)}, {"sizes": (1,)}, {"limit": 1}, {"backbone": "RN50:openai"}, {"settings": "some.yaml"}],
    ids=str,
)
def test_what_would_change_a_committed_row_is_refused_by_name(rows, changes):
    with pytest.raises(UserError, match=f"--{next(iter(changes))} cannot be applied.*--runs runs"):
        board_of(Selection(**changes), Results(rows=str(rows)))


@pytest.mark.parametrize("suites", ["all", "emoji,emoji-mini"])
def test_several_suites_are_refused_but_on_a_page(capsys, suites):
    assert main(["leaderboard", "--suite", suites]) == 2
    assert f"adu-bench leaderboard --suite {suites} --format html" in capsys.readouterr().err


def test_checking_and_writing_at_once_is_refused(capsys):
    assert main(["leaderboard", "--check", "--write", "rows"]) == 2
    assert "--check goes with neither" in capsys.readouterr().err


@pytest.mark.parametrize("read", ["leaderboard", "compare adu baseline", "report"])
def test_runs_and_rows_at_once_are_refused_with_the_command_that_joins_them(capsys, read):
    assert main([*read.split(), "--suite", "toy", "--runs", "some runs", "--rows", "rows"]) == 2
    assert "adu-bench leaderboard --runs 'some runs' --write rows" in capsys.readouterr().err
