from __future__ import annotations

import csv
import io
import json
import re
import shutil
from dataclasses import replace
from math import comb

import pytest
from rich.console import Console

from adu_bench.leaderboard.board import by_size, make_board
from adu_bench.leaderboard.committed import _with_statuses, committed_board
from adu_bench.leaderboard.published import H_OF_MEANS, MEAN_OF_H, beside_paper, claimed_suites, claims_of, has_paper
from adu_bench.leaderboard.rows import VerificationStatus
from adu_bench.metrics.evidence import harmonic
from adu_bench.registry import Catalogue
from adu_bench.report.tables.board import board_markdown
from adu_bench.report.tables.paper import PAPER_FORMATS
from adu_bench.report.terminal.boards import print_board
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import load_suite
from tests.conftest import random_predictions, write_run


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A board called officehome: lp-plus-plus and adu complete, clipfit lacks a run that forgets two, no bbf."""
    tmp_path = tmp_path_factory.mktemp("board")
    (tmp_path / "officehome.yaml").write_text("extends: toy\ntitle: made up\nforget: {sizes: [1, 2]}\n")
    suite, catalogue = load_suite(str(tmp_path / "officehome.yaml")), Catalogue()
    wanted = plan(suite, catalogue.select(["lp-plus-plus", "adu", "clipfit"]))
    lacking = next(run for run in wanted.runs if run.label == "clipfit" and len(run.spec.task.forget) == 2)
    for number, run in enumerate(wanted.runs):
        frame = random_predictions(number, classes=6, forget=("a",))
        if run is not lacking:
            write_run(tmp_path / "runs", run.spec, run.label, frame)
    return make_board(wanted, Store(tmp_path / "runs").runs())


def test_the_published_table_is_there_whole():
    assert claimed_suites() == ("imagenet", "officehome", "minidomainnet")
    assert [len(claims_of(suite)) for suite in claimed_suites()] == [5, 15, 15]
    assert {claim.forget for claim in claims_of("officehome")} == {1, 2, 3}
    ours = next(claim for claim in claims_of("officehome") if claim.method == "adu" and claim.forget == 1)
    assert (ours.mem, ours.for_, ours.h) == pytest.approx((0.7793, 0.6434, 0.6996))


@pytest.mark.parametrize("suite", claimed_suites())
def test_every_claimed_method_is_a_preset_and_its_h_is_one_of_the_two_kinds(suite):
    """The H of LP++ and CLIPFit follows from Mem and For; that of the others is lower, as a mean of H must be."""
    presets = Catalogue().presets
    for claim in claims_of(suite):
        assert claim.method in presets
        expected = H_OF_MEANS if claim.title in ("LP++", "CLIPFit") else MEAN_OF_H
        assert claim.convention == expected
        assert claim.h <= harmonic(claim.mem, claim.for_) + 0.0002


def test_differences_use_the_h_of_the_published_kind(board):
    table = beside_paper(board).set_index(["method", "forget"])
    sizes = by_size(board).set_index(["method", "forget"])
    for method, kind in (("lp-plus-plus", "h_of_means"), ("adu", "h_mean")):
        for forget in (1, 2):
            row, own = table.loc[(method, forget)], sizes.loc[(method, forget)]
            assert row["here_h"] == own[kind]
            assert row["difference_h"] == pytest.approx(own[kind] - row["paper_h"])
            assert row["difference_mem"] == pytest.approx(own["mem"] - row["paper_mem"])


def test_what_is_missing_says_so_and_is_no_number(board):
    table = beside_paper(board).set_index(["method", "forget"])
    assert table.loc[("bbf", 1), "note"] == "not run"
    assert table.loc[("adu", 3), "note"] == "not run"
    assert table.loc[("clipfit", 2), "note"] == f"5 of {comb(4, 2)} runs"
    empty = table[table["note"] != ""]
    assert empty[["here_mem", "here_for", "here_h", "difference_h"]].isna().all().all()
    assert table.loc[("clipfit", 1), "note"] == ""
    fewer = replace(board, tasks=tuple(task for task in board.tasks if task != board.tasks[0]))
    first = fewer.frame[fewer.frame["task"] != board.tasks[0]]
    note = beside_paper(replace(fewer, frame=first)).set_index(["method", "forget"]).loc[("adu", 1), "note"]
    assert note == "3 of 4 forget sets"


@pytest.mark.parametrize("kind", PAPER_FORMATS)
def test_the_comparison_in_every_format(board, kind):
    text = PAPER_FORMATS[kind](board)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert "not run" in text
    rows = beside_paper(board)
    if kind == "csv":
        found = list(csv.DictReader(io.StringIO(text)))
        assert [float(row["paper_h"]) for row in found] == pytest.approx(rows["paper_h"].tolist())
    if kind == "json":
        assert json.loads(text)[0]["convention"] == H_OF_MEANS
    if kind == "tex":
        assert text.count(" \\\\") == len(rows) + 2
    if kind == "md":
        assert "arXiv 2510.08132" in text
        assert "LP++ | `lp-plus-plus`" in text


@pytest.mark.parametrize("width", [80, 140])
def test_the_terminal_shows_the_paper_below_the_board(board, width):
    console = Console(width=width, file=io.StringIO())
    print_board(board, console)
    text = console.file.getvalue()
    assert "The paper beside it" in text
    assert max(map(len, text.splitlines())) <= width


def test_claims_have_no_rank_and_other_suites_no_comparison(board):
    assert {row.method for row in board.rows} == {"lp-plus-plus", "adu", "clipfit"}
    assert has_paper(board)
    assert not has_paper(replace(board, suite="toy"))
    assert "Ours" not in board_markdown(board)


def test_committed_rows_of_unknown_methods_stand_last_with_the_reason(tmp_path):
    from adu_bench.leaderboard.rows import write_row

    catalogue = Catalogue()
    wanted = plan(load_suite("toy"), catalogue.select(["collapse"]))
    for run in wanted.runs:
        write_run(tmp_path / "runs", run.spec, run.label, random_predictions(forget=run.spec.task.forget, classes=6))
    store = Store(tmp_path / "runs")
    runs = [store.load(run.spec.key) for run in wanted.runs]
    first = write_row(tmp_path / "rows", "toy", wanted.runs, runs, {})
    first.with_stem("gone").write_text(first.read_text().replace('"label": "collapse"', '"label": "gone"'))
    shutil.copy(first.with_suffix(".parquet"), first.with_name("gone.parquet"))
    board = committed_board(tmp_path / "rows", "toy", catalogue)
    assert [row.method for row in board.rows] == ["collapse", "gone"]
    assert board.rows[-1].reason == "There is no method called 'gone' here"
    assert board.rows[-1].rank is None


def test_claims_are_about_whole_blocks(tmp_path):
    """A board of some of a method's tasks shows how far its row was checked, and not what is claimed for all tasks."""
    (tmp_path / "some.yaml").write_text("extends: toy\ntitle: made up\nforget: {sizes: [1, 2]}\n")
    suite, catalogue = load_suite(str(tmp_path / "some.yaml")), Catalogue()
    store = Store(tmp_path / "runs")
    wanted = plan(suite, catalogue.select(["collapse"]))
    for run in wanted.runs:
        write_run(store.root, run.spec, run.label, random_predictions(forget=run.spec.task.forget, classes=6))
    runs = [store.load(run.spec.key) for run in wanted.runs]
    status = VerificationStatus({"h_mean": 0.5}, {"by": "somebody"}, {})
    known = {"collapse": status}
    board = _with_statuses(make_board(wanted, runs), known)
    assert board.rows[0].claimed == {"h_mean": 0.5}
    assert [part.rows[0].claimed for part in board.sizes.values()] == [{}, {}]
    assert {part.rows[0].state for part in (board, *board.sizes.values())} == {"verified"}
