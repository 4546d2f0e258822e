"""What audits say, in every format, on the page and as a figure."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from adu_bench.leaderboard.board import Board, with_forgetting
from adu_bench.maintenance.audits import check_attacks
from adu_bench.report.figures.depth import caption, depth, shown
from adu_bench.report.style import style
from adu_bench.report.tables.attacks import attacks_markdown
from adu_bench.report.tables.board import FORMATS
from adu_bench.report.tables.forgetting import forgetting_table
from adu_bench.report.terminal.boards import print_board
from adu_bench.report.web.page import web_page
from tests.leaderboard.audited import everything, measured

DEPTHS = {"adu": 0.6, "baseline": 0.2, "zero-shot": 0.0}


def made(run):
    """Return made-up measurements of a run, by the depth of its method."""
    return everything(1 - DEPTHS.get(run.label, 0.1), lost=0.05) | (
        {"disguise/tried:grey": 0.9, "disguise/tried:blur": 0.9} if run.label == "zero-shot" else {}
    )


@pytest.fixture(scope="module")
def audited(boards) -> Board:
    return with_forgetting(boards[0], measured(boards[0].runs, made))


@pytest.fixture(scope="module")
def beyond(boards) -> Board:
    found = measured(boards[0].runs, lambda run: everything(-0.1 if run.label == "adu" else 0.4))
    return with_forgetting(boards[0], found)


def by_method(table) -> dict[str, dict[str, str]]:
    return {row[1].text: dict(zip(table.columns, (cell.text for cell in row), strict=True)) for row in table.rows}


def test_the_table_has_one_row_per_complete_method(audited):
    found = by_method(forgetting_table(audited))
    assert list(found) == [row.method for row in audited.rows if not row.reason]
    assert found["adu"]["depth"] == "60.0"
    assert found["adu"]["strongest attack"] == "class-probe"
    assert found["adu"]["part off"] == "by construction"
    assert found["adu"]["largest loss"] == "corrupted"


def test_a_method_whose_weights_changed_shows_what_part_off_recovers(boards):
    values = measured(boards[0].runs, lambda run: everything(0.4, fixed=run.label != "adu"))
    found = by_method(forgetting_table(with_forgetting(boards[0], values)))
    assert found["adu"]["part off"] == "40.0"
    assert found["baseline"]["part off"] == "by construction"


def test_what_is_beyond_is_marked_in_every_text(beyond):
    table = forgetting_table(beyond)
    assert by_method(table)["adu"]["depth"].startswith("100.0 (")
    assert "beyond never having known, which counts as 100" in "; ".join(table.notes)
    record = json.loads(FORMATS["json"](beyond))[0]
    assert (record["depth"], record["depth_beyond"]) == (1.0, True)
    assert "100.0 +" in web_page([beyond], {})
    assert "beyond never having known, which counts as 100 (adu)" in caption(beyond)


def test_what_was_not_measured_says_so(boards):
    part = measured([run for run in boards[0].runs if run.label != "adu" or run.spec.task.name != "a"], made)
    table = forgetting_table(with_forgetting(boards[0], part))
    letter = by_method(table)["adu"]["depth"]
    assert f"{letter} not measured on all tasks" in table.notes
    assert "Without a depth, since not audited on all tasks: adu." in caption(with_forgetting(boards[0], part))


def test_every_format_has_the_numbers(audited):
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(FORMATS["csv"](audited)))}
    assert (rows["adu"]["depth"], rows["adu"]["depth_by"], rows["adu"]["by_construction"]) == (
        "0.6", "class-probe", "True",
    )  # fmt: skip
    assert rows["late"]["depth"] == ""
    assert {row["method"]: row["depth"] for row in json.loads(FORMATS["json"](audited))}["adu"] == 0.6
    text = FORMATS["md"](audited)
    assert "## Did it forget?" in text
    assert "- **depth**: share of that accuracy" in text
    assert FORMATS["tex"](audited).count("\\begin{tabular}") == 2


def test_boards_without_audits_say_nothing_of_them(boards):
    assert "depth" not in FORMATS["csv"](boards[0])
    for text in (*(FORMATS[name](boards[0]) for name in ("md", "tex")), web_page(boards, {})):
        assert "Did it forget" not in text


@pytest.mark.parametrize("width", [80, 200])
def test_terminals_show_as_much_as_they_have_room_for(audited, width):
    console = Console(record=True, width=width, file=io.StringIO())
    print_board(audited, console)
    text = console.export_text()
    assert "Did it forget?" in text
    assert ("generality" in text) == (width == 200)
    assert max(map(len, text.splitlines())) <= width


def test_columns_that_rest_on_fewer_tasks_say_so(boards):
    oracle = measured(boards[0].runs[:1], lambda run: everything(0.1)).assign(method="oracle", task="a")
    found = with_forgetting(boards[0], measured(boards[0].runs, made), oracle)
    assert "depth, oracle rests on the 1 of 5 tasks that have an oracle" in forgetting_table(found).notes
    assert "Depth, oracle rests on the 1 of 5 tasks" in web_page([found], {})


def test_attacks_are_listed_with_how_well_they_measure(audited, boards):
    values = measured(boards[0].runs, made)
    text = attacks_markdown(audited, check_attacks(values, values.iloc[:0]))
    assert "| `adu` | 40.0 | 40.0 |" in text
    # One seed, no collapse, no oracle; four methods have all tasks.
    assert "| relearning | - | - | - | 4 | 1 |" in text


def test_the_page_has_a_table_beside_each_board(audited):
    headings = re.findall(r"<h2 [^>]*>toy <span>(.*?)</span></h2>", web_page([audited], {}))
    tables = ("all tasks", "1 forgotten", "2 forgotten")
    assert headings == [heading for name in tables for heading in (name, f"{name}: did it forget?")]


def test_names_stay_text(boards):
    frame = boards[0].frame
    odd = replace(
        boards[0],
        rows=tuple(replace(row, method=f"{row.method}<b>") for row in boards[0].rows),
        frame=frame.assign(method=frame["method"] + "<b>"),
        sizes={},
        part=None,
    )
    page = web_page([with_forgetting(odd, measured(boards[0].runs, made))], {})
    assert "did it forget?" in page
    assert "adu<b>" not in page


def test_the_figure_draws_each_audited_method_and_the_front(audited):
    assert [row.method for row in shown(audited)] == [row.method for row in audited.rows if not row.reason]
    with style():
        figure = depth(audited)
    axes = figure.axes[0]
    points = [line.get_xdata() for line in axes.lines if line.get_marker() != "None"]
    assert {round(float(across[0])) for across in points} == {60, 20, 10, 0}
    text = caption(audited)
    assert "Hollow grey: references" in text
    assert "1 seed." in text


def test_without_measurements_there_is_no_reading(boards):
    assert with_forgetting(boards[0], measured([], made)).forgetting is None
    assert shown(boards[0]) == []
