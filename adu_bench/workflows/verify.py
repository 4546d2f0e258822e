"""Verify submissions: read, check, and run some of their runs again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from adu_bench.core.errors import UserError
from adu_bench.core.progress import Progress, silent
from adu_bench.leaderboard.committed import suite_file
from adu_bench.leaderboard.rows import recorded_status, stamp_row
from adu_bench.registry import Catalogue
from adu_bench.rerun.job import RerunJob
from adu_bench.runner.executors.interface import Executor, Result
from adu_bench.runner.executors.local import LocalProcesses
from adu_bench.runner.plan import PlannedRun
from adu_bench.submission.reading import read_bundle, read_committed
from adu_bench.submission.submission import Submission, code_files
from adu_bench.submission.verify import Rerun, compare, verification_status, write
from adu_bench.suites import keep_suite


def read_submission(path: Path, folder: Path, catalogue: Catalogue, suite: str = "") -> Submission:
    """Read a bundle (.zip), unpacked into a folder, or a committed row (.json).

    Parameters
    ----------
    path
        The file.
    folder
        Where a bundle is unpacked; it must outlive the submission.
    catalogue
        The known methods.
    suite
        YAML file of a suite that is not shipped; empty for the shipped ones.
    """
    if is_committed(path):
        return read_committed(path, catalogue, suite)
    return read_bundle(path, folder, suite)


def is_committed(path: Path) -> bool:
    """Whether a file is a committed row."""
    return path.suffix == ".json"


def rerun(
    submission: Submission,
    runs: Sequence[PlannedRun],
    folder: Path,
    executor: Executor | None = None,
    progress: Progress = silent,
    on_result: Callable[[Result, int, int], None] = lambda result, count, total: None,
) -> list[Rerun]:
    """Execute some of a submission's runs again, apart from the submission, and compare the results.

    The submitted predictions are read, and removed from the folder, before the method's code runs.

    Parameters
    ----------
    submission, runs
        The submission, and those of its runs.
    folder
        Where a bundle was unpacked.
    executor
        Where to run; None for one process on this machine.
    progress
        Called with each run in flight.
    on_result
        Called with each result, its number and the number of runs.

    Raises
    ------
    UserError
        If one of them fails.
    """
    submitted = {run.key: run.predictions() for run in submission.runs}
    shutil.rmtree(folder / "runs", ignore_errors=True)
    code = code_files(submission.choice)
    with tempfile.TemporaryDirectory(prefix="adu-bench-rerun-") as name:
        folders = {run.spec.key: Path(name).resolve() / run.spec.key for run in runs}
        for again in folders.values():
            again.mkdir()
        jobs = [RerunJob(run, code, folders[run.spec.key]) for run in runs]
        with closing((executor or LocalProcesses()).run(jobs, progress)) as results:  # type: ignore[type-var]
            for count, result in enumerate(results, start=1):
                on_result(result, count, len(jobs))
                if result.state == "failed":
                    raise UserError(
                        f"{result.job.title} failed when it was run again.",
                        result.text,
                        "Leave --rerun out to score its predictions only.",
                    )
        return compare(runs, submitted, folders)


def write_verified(
    submission: Submission, path: Path, target: Path, again: list[Rerun], seed: int, tolerance: float, suite: str = ""
) -> Path:
    """Write the verified row of a bundle into a folder, or stamp a committed row; return the written file."""
    status = verification_status(submission, again, seed, tolerance)
    if not is_committed(path):
        keep_suite(suite, suite_file(target, suite))
        return write(submission, target, status)
    before = recorded_status(path)
    stamp_row(path, status if again else replace(status, reproduced=before.reproduced))
    return path
