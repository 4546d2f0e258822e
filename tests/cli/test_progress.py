from __future__ import annotations

import pytest

from adu_bench.cli import progress
from adu_bench.cli.progress import Lines


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_long_step_says_how_much_time_is_left(clock, capsys):
    shown = Lines()
    shown("decoding", 0, 1000)
    clock[0] += 30
    shown("decoding", 250, 1000, "fast")
    assert capsys.readouterr().err == "decoding: 250 of 1,000, fast, about 2 min left\n"
    clock[0] += 1
    shown("decoding", 400, 1000)
    assert capsys.readouterr().err == ""  # the last line is only a second old


def test_a_step_of_a_moment_says_nothing(clock, capsys):
    shown = Lines()
    for done in range(11):
        shown("decoding", done, 10)
        clock[0] += 0.1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (89, "89 s"), (300, "5 min"), (7200, "2.0 h")])
def test_times_are_written_in_their_unit(seconds, text):
    assert progress._time(seconds) == text
