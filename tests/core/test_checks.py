"""What checks say of an error inside their subject: type, text, file and line, once, and the remedy."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from adu_bench.core.checks import CheckFailed, run_all


def first_check(subject):
    subject()


def second_check(subject):
    subject()


def told(subject, **keywords):
    return list(run_all([first_check, second_check], subject, Path(__file__), **keywords))


def raising():
    return {}["gone"]


def test_an_error_has_file_and_line_once():
    line = raising.__code__.co_firstlineno + 1
    (_, first), (_, second) = told(raising, explain=lambda error: "Do this.")
    assert first == f"KeyError: 'gone' (test_checks.py, line {line}). Do this."
    assert second == "the same as in 'first check'"


def test_ending_the_process_is_a_failure_of_the_check():
    (_, first), _ = told(lambda: sys.exit(3))
    assert first.startswith("SystemExit: 3 (test_checks.py, line ")


def test_a_failed_check_is_told_as_it_is_and_passed_checks_say_nothing():
    def fail():
        raise CheckFailed("Wrong. Do this.")

    assert told(fail) == [("first_check", "Wrong. Do this."), ("second_check", "the same as in 'first check'")]
    assert told(lambda: None) == [("first_check", ""), ("second_check", "")]


def test_tracebacks_are_for_debugging(caplog):
    with caplog.at_level(logging.DEBUG, "adu_bench"):
        told(raising)
    assert "in raising" in caplog.text
