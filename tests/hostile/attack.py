"""Give every hostile input to its reader, in one process with little memory, and print what happened as JSON."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import psutil

from adu_bench.core.errors import UserError
from tests.hostile import readers
from tests.hostile.corpus import inputs

SECONDS = 20
MEMORY = 2 * 2**30


class TooLong(BaseException):
    """An input took more than `SECONDS`."""


def stop(_number: int, _frame: object) -> None:
    raise TooLong


def attacked(folder: Path) -> list[dict]:
    """Return one record per input."""
    found = []
    for number, each in enumerate(inputs()):
        place = folder / str(number)
        place.mkdir()
        os.chdir(place)
        path = place / f"input{Path(each.kind).suffix if each.reader != 'tar archive' else '.tar.gz'}"
        each.make(path)
        before = {entry.name for entry in place.iterdir()}
        start, sentences = time.monotonic(), []
        print(each.reader, each.kind, file=sys.stderr, flush=True)
        signal.alarm(SECONDS)
        try:
            each.call(path)
            outcome = "accepted"
        except UserError as error:
            outcome, sentences = "refused", list(error.sentences)
        except BaseException as error:
            outcome = f"{type(error).__name__}: {str(error)[:200]}"
        finally:
            signal.alarm(0)
        written = sorted({entry.name for entry in place.iterdir()} - before - {"given"})
        # What a reader got beside the input has no input of its own to keep.
        found.append(
            {
                "input": f"{each.reader}: {each.kind}",
                "outcome": outcome,
                "sentences": sentences,
                "seconds": time.monotonic() - start,
                "written": written,
            }
        )
        if path.is_file() and not path.is_symlink():
            path.unlink()
    return found


if __name__ == "__main__":
    readers._backbone()  # torch is loaded before memory is limited
    limit = psutil.Process().memory_info().vms + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, stop)
    print(json.dumps(attacked(Path(sys.argv[1]))))
