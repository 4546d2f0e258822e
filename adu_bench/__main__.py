"""The command ``adu-bench``; nothing is imported before Ctrl-C can end it in one sentence."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> int:
    """Import the program and run it."""
    # That of a notebook, whose packages may be missing here; figures are only written to files.
    os.environ.pop("MPLBACKEND", None)
    heard = []

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        heard.append(True)
        raise KeyboardInterrupt

    # With SIGINT ignored (a shell's background processes) it stays ignored.
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if default:
        signal.signal(signal.SIGINT, interrupt)
    try:
        from adu_bench.cli.main import main as command
    except BaseException:
        # Libraries that are interrupted while they are imported raise other errors.
        if not heard:
            raise
        print("Interrupted.", file=sys.stderr)
        return 130
    finally:
        if default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    return command()


if __name__ == "__main__":
    sys.exit(main())
