"""Command lines in messages: what they print can be pasted, and repeats the options of the command that prints it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_CHOICE = ("from", "backbone", "seeds", "sizes", "limit", "settings")
REPEATED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("run", "status", "score", "leaderboard", "compare", "power", "report", "audit"), _CHOICE),
    **dict.fromkeys(("attention", "features"), ("from", "backbone")),
    **dict.fromkeys(("check", "show", "submit", "verify", "tune"), ("from",)),
}
"""The options that commands share and that decide what they are about."""
FOLDER = {"run": "out", "status": "out"}
"""The option for the folder of runs, where it is not ``--runs``."""
DEFAULT_FOLDER = "runs"
_WITH_RUNS = {*REPEATED} - {"check", "verify", "tune"}
_given: ContextVar[Mapping[str, Any]] = ContextVar("given", default={})  # noqa: B039, nobody changes it


@contextmanager
def repeating(name: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Repeat a command's options in the command lines that are made meanwhile.

    Parameters
    ----------
    name
        The command that the user typed.
    options
        Its options and their values.
    """
    kept = {option: options.get(option) for option in REPEATED.get(name, ())}
    folder = options.get(FOLDER.get(name, "runs")) if name in _WITH_RUNS else ""
    token = _given.set({**kept, "folder": folder, "suite": options.get("suite")})
    try:
        yield
    finally:
        _given.reset(token)


def remember(**options: Any) -> None:
    """Also repeat options that the user did not type, because the command found out what they have to be."""
    if _given.get():
        _given.set({**_given.get(), **options})


def command(name: str, *arguments: str, folder: object = None, **options: Any) -> str:
    """Return a command line, quoted for a shell.

    Parameters
    ----------
    name
        A command of the program.
    arguments
        Its arguments without a name.
    folder
        The folder of runs; None for that of the command that is running.
    options
        Further options, or others than those of the command that is running; empty ones are left out, and True stands
        for an option without a value.
    """
    given = _given.get()
    typed = str(given.get("suite") or "")
    if typed.endswith((".yaml", ".yml")) and options.get("suite") == Path(typed).stem:
        options["suite"] = typed  # the name of a suite that is not shipped says nothing without its file
    values = options | {option: options.get(option, given.get(option)) for option in REPEATED.get(name, ())}
    if name in _WITH_RUNS:
        place = str(given.get("folder") or "") if folder is None else str(folder)
        values[FOLDER.get(name, "runs")] = place if place != DEFAULT_FOLDER or _needs_folder(name) else ""
    words = ["adu-bench", name, *map(shlex.quote, arguments)]
    for option, value in values.items():
        if value is True:
            words.append(f"--{option.replace('_', '-')}")
        elif value:
            words += [f"--{option.replace('_', '-')}", shlex.quote(str(value))]
    return " ".join(words)


def _needs_folder(name: str) -> bool:
    """Whether a command reads committed rows where no folder is named."""
    return name in ("leaderboard", "compare", "power", "report")
