"""Call a function in a short-lived process, so that what it imports (torch, mostly) stays out of this one."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from adu_bench.core.errors import UserError


def in_child(function: str, *arguments: Any) -> Any:
    """Call a function in a process of its own and return the result.

    Parameters
    ----------
    function
        ``package.module:name``; only the child imports the module.
    arguments
        Arguments; they and the result are pickled.

    Raises
    ------
    UserError
        If the process dies.  What the function raises is raised here as well.
    """
    with main_hidden(), ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_call, function, arguments).result()
        except BrokenProcessPool as error:
            raise UserError(
                f"A helper process ended before it could answer ({function}).",
                "It imports torch, and was probably killed for lack of memory.",
                "Check the installation with: adu-bench doctor",
            ) from error


def _call(function: str, arguments: tuple[Any, ...]) -> Any:
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)(*arguments)


@contextmanager
def main_hidden() -> Iterator[None]:
    """Start processes without executing the user's script in them.

    A spawned process imports the script that its parent runs.  No process of this project needs it, and a script whose
    top level calls `adu_bench.run` would call it again there.
    """
    main: dict[str, Any] = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(hidden)
