"""Requests to end the program, such as `kill`, `timeout` or a closed terminal, unwind it as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ENDINGS = [signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if name in signal.Signals.__members__]


class Ended(SystemExit):
    """The program was asked to end; ``code`` is 128 plus the signal's number, as shells have it."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


@contextmanager
def unwound() -> Iterator[None]:
    """Raise `Ended` on a request to end, so that workers are ended and temporary folders removed.

    SIGKILL cannot be handled; a signal that is ignored (`nohup`) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.getsignal(name) for name in _ENDINGS}
    for name in (name for name, handler in before.items() if handler != signal.SIG_IGN):
        signal.signal(name, _leave)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _leave(number: int, _frame: Any) -> None:
    raise Ended(number)
