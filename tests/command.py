"""The command ``adu-bench`` in the tests' own process, which already has the libraries that a new one would load."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from unittest.mock import patch

from adu_bench.cli.main import main
from adu_bench.core.progress import Progress, silent
from adu_bench.runner.executors.interface import Job, Result, perform
from adu_bench.runner.executors.local import LocalProcesses

COMMAND = [sys.executable, "-m", "adu_bench"]


def call(*arguments: str, cwd: Path, status: int = 0, **environment: str) -> subprocess.CompletedProcess:
    """Run the command with its jobs in this process, and check its exit status."""
    out, err = io.StringIO(), io.StringIO()
    with (
        chdir(cwd),
        patch.dict(os.environ, environment),
        patch.object(LocalProcesses, "run", _run_here),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = main(arguments)
    return _checked(subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue()), status)


def call_process(*arguments: str, cwd: Path, status: int = 0, **environment: str) -> subprocess.CompletedProcess:
    """Run the command and its workers in processes of their own, and check its exit status."""
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, env=os.environ | environment, timeout=240
    )
    return _checked(done, status)


def _checked(done: subprocess.CompletedProcess, status: int) -> subprocess.CompletedProcess:
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def _run_here(_: LocalProcesses, jobs: Sequence[Job], progress: Progress = silent) -> Iterator[Result]:
    for job in jobs:
        start = time.monotonic()
        outcome = perform(job, "cpu", partial(_tell, progress, job.title))
        yield Result(job, outcome.state, outcome.text, time.monotonic() - start)


def _tell(progress: Progress, title: str, step: str, done: int, total: int, note: str = "") -> None:
    progress(title, done, total, f"{step}, {note}" if note else step)
