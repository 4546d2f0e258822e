from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adu_bench.report.figures.common import percent, ranked
from adu_bench.report.figures.profile import profile
from adu_bench.report.style import style
from adu_bench.report.tables.main import main_caption, main_table
from adu_bench.report.tables.summaries import improvement_table, summary_caption, summary_table


def texts(table, part: int) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.parts[part]]


@pytest.fixture
def board(boards):
    """One seed; three tasks that forget one domain, two that forget two."""
    return boards[0]


@pytest.fixture
def values(board):
    """H by task, one column per method."""
    return board.frame[board.frame["metric"] == "h"].pivot(index="task", columns="method", values="value")


def test_the_summary_has_a_part_for_each_number_of_domains_and_one_for_all(board, values):
    table = summary_table(board)
    groups = (["a", "b", "c"], ["a+b", "b+c"], list(board.tasks))
    assert len(table.parts) == len(groups)
    for part, tasks in enumerate(groups):
        for row, line in zip(ranked(board), texts(table, part), strict=True):
            own = values.loc[tasks, row.method]
            assert line[:2] == [row.method, ("1", "2", "any")[part]]
            assert (line[2], line[5]) == (percent(own.mean()), percent(own.min()))
            assert line[3] == ""
            assert line[6].replace(" + ", "+") == own.idxmin()
    middle = np.sort(values.loc[list(board.tasks), "adu"])[1:4].mean()
    (adu,) = (line for line in texts(table, 2) if line[0] == "adu")
    assert adu[4] == percent(middle)
    best = values[[row.method for row in ranked(board)]].mean().idxmax()
    assert [row[0].text for row in table.parts[2] if row[2].bold] == [best]


def test_intervals_are_those_of_the_board_and_the_caption_says_what_they_are_for(board):
    assert "There are no intervals, because there are too few seeds." in summary_caption(board)
    first, *rest = board.rows
    known = replace(first, values={**first.values, "h_interval": (0.25, 0.5)})
    with_interval = replace(board, rows=(known, *rest))
    (line,) = (line for line in texts(summary_table(with_interval), 2) if line[0] == first.method)
    assert line[3] == "25.0 to 50.0"
    assert "other few-shot draws and other test images, on these tasks" in summary_caption(with_interval)


def test_captions_speak_of_bold_only_where_methods_are_compared(board):
    alone = replace(board, rows=(ranked(board)[0], *(row for row in board.rows if row.reference)))
    for caption, table in ((main_caption, main_table), (summary_caption, summary_table)):
        for shown in (board, alone):
            bold = any(cell.bold for part in table(shown).parts for row in part for cell in row)
            assert ("Bold: " in caption(shown)) is bold is (shown is board)


def test_the_best_method_is_compared_with_every_other(board, values):
    best, *others = ranked(board)
    table = improvement_table(board)
    assert table.columns == (f"{best.method} against", "1 forgotten", "2 forgotten", "any")
    shown = {line[0]: line[1:] for part in range(2) for line in texts(table, part)}
    assert list(shown) == [*(row.method for row in others), "zero-shot"]
    for method, line in shown.items():
        wins = (values[best.method] > values[method]) + 0.5 * (values[best.method] == values[method])
        groups = (["a", "b", "c"], ["a+b", "b+c"], list(board.tasks))
        assert line == [f"{100 * wins[group].mean():.0f}" for group in groups]


def test_a_profile_falls_from_the_worst_run_to_the_best(board, values):
    with style():
        axes, _ = profile(board).axes
    lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert len(lines) == len(ranked(board))
    for row, line in zip(ranked(board), lines, strict=True):
        own = 100 * values[row.method].to_numpy()
        x, y = line.get_xdata(), line.get_ydata()
        assert (x[0], y[0], x[-1], y[-1]) == pytest.approx((own.min(), 100, own.max(), 0))
        for threshold, share in zip(x[:-1], y[:-1], strict=True):
            assert share == pytest.approx(100 * (own >= threshold - 1e-9).mean())


def test_one_method_alone_is_never_bold(board):
    first, *_ = ranked(board)
    alone = replace(board, rows=(first,))
    assert not any(cell.bold for part in summary_table(alone).parts for row in part for cell in row)
