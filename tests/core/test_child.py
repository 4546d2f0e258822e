from __future__ import annotations

import os
import sys

import pytest

from adu_bench.core.child import in_child
from adu_bench.core.errors import UserError


def test_the_result_and_the_error_of_a_function_come_back():
    assert in_child("os:getpid") != os.getpid()
    with pytest.raises(UserError, match="at least one"):
        in_child("tests.core.test_child:fail", "at least one")


def fail(why):
    raise UserError("It failed.", why, "Try again.")


def test_a_child_that_dies_is_named():
    with pytest.raises(UserError, match="os:_exit"):
        in_child("os:_exit", 3)


def test_only_the_child_imports_the_module():
    sys.modules.pop("colorsys", None)
    assert in_child("colorsys:rgb_to_hsv", 0.0, 0.0, 0.5) == (2 / 3, 1.0, 0.5)
    assert "colorsys" not in sys.modules
