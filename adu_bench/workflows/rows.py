"""Write the rows of a committed board, and what audits found, from runs; find what is not current there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from adu_bench.audits.catalogue import find_audits
from adu_bench.leaderboard.committed import (
    committed_stale_measurements,
    committed_stale_rows,
    committed_suites,
    suite_file,
)
from adu_bench.leaderboard.measurements import measurements_of, merge, read_measurements, write_measurements
from adu_bench.leaderboard.rows import read_rows
from adu_bench.registry import Catalogue
from adu_bench.report.pages import stale_pages
from adu_bench.store import Store
from adu_bench.submission.submission import of_plan
from adu_bench.submission.verify import check, verification_status, write
from adu_bench.suites import keep_suite, suite_name
from adu_bench.workflows.board import require_whole_rows
from adu_bench.workflows.selection import Selection


def write_rows(selection: Selection, runs: Path, target: Path) -> Iterator[tuple[str, Path | None]]:
    """Write the rows of all complete blocks among the runs, each checked like a submission.

    Yields
    ------
    tuple
        Label of a method, and the file of its row; None where its block is not complete.
    """
    require_whole_rows(selection)
    store = Store(runs)
    plan = selection.plan(store)
    keep_suite(selection.suite, suite_file(target, selection.suite))
    for label in dict.fromkeys(run.label for run in plan.runs):
        block = replace(plan, runs=tuple(run for run in plan.runs if run.label == label))
        if block.unfinished(store):
            yield label, None
        else:
            submission = of_plan(block, selection.catalogue.select([label])[0], store)
            check(submission)
            yield label, write(submission, target, verification_status(submission))


def write_audits(suite: str, runs: Path, target: Path) -> Path | None:
    """Write the current results of audits of the runs that committed rows consist of, beside the rows of a suite.

    Measurements that are there already stay, unless the folder has newer ones or they are stale.

    Returns
    -------
    Path or None
        The file; None where nothing was measured.
    """
    suite = suite_name(suite)
    rows, known = read_rows(target, suite), find_audits()
    old = read_measurements(target, suite)
    new = measurements_of(runs, suite, rows, known)
    found = merge(old, new, [run.key for run in rows], known)
    if old.empty and found.empty:
        return None
    return write_measurements(target, suite, found)


def stale_files(folder: Path, catalogue: Catalogue) -> tuple[list[Path], list[tuple[str, str, str, list[str]]]]:
    """Find what is not current in a folder of committed rows.

    Returns
    -------
    tuple
        Generated files that differ from what would be written now; and what is stale, as suite, ``rows`` or
        ``measurements``, reason and names.
    """
    stale = []
    for suite in committed_suites(folder):
        for kind, found in (
            ("rows", committed_stale_rows(folder, suite, catalogue)),
            ("measurements", committed_stale_measurements(folder, suite)),
        ):
            names: dict[str, list[str]] = {}
            for name, reason in found.items():
                names.setdefault(reason, []).append(name)
            stale += [(suite, kind, reason, own) for reason, own in names.items()]
    return list(stale_pages(folder, catalogue)), stale
