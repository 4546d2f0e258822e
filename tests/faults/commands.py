"""Commands in processes that start at once, because they are forked from one that has imported the package."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import zipfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow.parquet as pq

from adu_bench.core.child import main_hidden
from adu_bench.store import Store

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["adu_bench.cli.main", "adu_bench.workflows.board", "adu_bench.submission.verify"])


def start(
    folder: Path, arguments: list[str], variables: Mapping[str, str] | None = None, largest: int = -1
) -> tuple[BaseProcess, Connection]:
    """Start ``adu-bench`` in a folder, and return the process and its output.

    Parameters
    ----------
    folder
        The working folder.
    arguments
        The command line.
    variables
        Environment variables to set.
    largest
        The largest file in bytes that can be written; -1 for no limit.
    """
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_call, args=(str(folder), arguments, dict(variables or {}), largest, theirs))
    with main_hidden():
        process.start()
    theirs.close()
    return process, ours


def finish(process: BaseProcess, output: Connection) -> tuple[int, str]:
    """Wait for a command, and return its status and what it printed."""
    printed = b""
    while part := os.read(output.fileno(), 65536):
        printed += part
    process.join()
    assert process.exitcode is not None
    return process.exitcode, printed.decode()


def _call(folder: str, arguments: list[str], variables: dict[str, str], largest: int, output: Connection) -> None:
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    os.chdir(folder)
    os.environ.update(variables)
    if largest >= 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    from adu_bench.cli.main import main

    raise SystemExit(main(arguments))


def check_whole(folder: Path, runs: int) -> None:
    """Check that this many finished runs are there, all undamaged, and that no result in ``out`` is a part of one."""
    store = Store(folder / "runs")
    store.sweep()
    keys = store.keys()
    assert len(keys) == runs
    assert [store.damage(key) for key in keys] == [""] * runs
    for path in (path for path in folder.glob("out/**/*") if path.is_file() and not path.name.startswith(".")):
        assert path.stat().st_size > 0, path
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".parquet":
            pq.read_table(path)
        elif path.suffix == ".zip":
            assert zipfile.ZipFile(path).testzip() is None
