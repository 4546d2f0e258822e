from __future__ import annotations

import os

import pytest

from adu_bench.core.environment import restoring

NAME = "SOME_VARIABLE"


def change(inside: str | None) -> None:
    """Set or remove the variable, and fail."""
    with restoring(NAME):
        if inside is None:
            os.environ.pop(NAME, None)
        else:
            os.environ[NAME] = inside
        raise KeyError


@pytest.mark.parametrize("inside", ["new", None])
@pytest.mark.parametrize("before", [None, "old"])
def test_a_variable_is_afterwards_as_it_was_also_after_an_error(before, inside, monkeypatch):
    if before is None:
        monkeypatch.delenv(NAME, raising=False)
    else:
        monkeypatch.setenv(NAME, before)
    with pytest.raises(KeyError):
        change(inside)
    assert os.environ.get(NAME) == before
