"""Audit finished runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from adu_bench.audits.catalogue import AuditEntry
from adu_bench.audits.job import AuditJob
from adu_bench.audits.results import missing, read_result
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError
from adu_bench.core.progress import Progress, silent
from adu_bench.runner.decoding import decode_needed
from adu_bench.runner.executors.interface import Executor, Result, settled
from adu_bench.runner.executors.local import LocalProcesses
from adu_bench.runner.plan import Plan, PlannedRun
from adu_bench.store import Store
from adu_bench.store.artefacts import with_artefacts


def finished_runs(plan: Plan, store: Store) -> list[PlannedRun]:
    """Return the finished runs of a plan.

    Raises
    ------
    UserError
        If there is none.
    """
    runs = [run for run in plan.runs if store.has(run.spec.key)]
    if not runs:
        methods = "" if plan.study else ",".join(dict.fromkeys(run.label for run in plan.runs))
        raise UserError(
            f"'{store.root}' has no finished run of this selection.",
            "An audit examines the stored classifier of a finished run.",
            command("run", suite=plan.suite.name, study=plan.study, methods=methods, folder=store.root, audits="core"),
        )
    return runs


def pending(
    runs: Sequence[PlannedRun], store: Store, entries: Sequence[AuditEntry], *, force: bool = False
) -> list[AuditJob]:
    """Return one job for each run that lacks a current result of an audit, or for each run.

    Parameters
    ----------
    runs, store
        Finished runs, and where they are.
    entries
        The audits.
    force
        Repeat audits that are done.
    """
    return [
        AuditJob(run, store, tuple(entries), force)
        for run in runs
        if missing(store.root, run.spec, entries)
        or (force and any(entry.card.applies(run.spec.task) for entry in entries))
    ]


def inapplicable(runs: Sequence[PlannedRun], entries: Sequence[AuditEntry]) -> list[str]:
    """Return one sentence for each audit that does not apply to all runs."""
    found = []
    for entry in entries:
        count = sum(not entry.card.applies(run.spec.task) for run in runs)
        if count:
            found.append(
                f"{entry.name} does not apply to {count} of {len(runs)} runs: their tasks have no {entry.card.needs} "
                "(a study with splits makes some, such as --study open-vocabulary of the emoji suites)."
            )
    return found


def run_audits(
    jobs: Sequence[AuditJob], executor: Executor | None = None, progress: Progress = silent
) -> Iterator[Result]:
    """Run audits, and yield one result per run as it ends.

    Parameters
    ----------
    jobs
        See `pending`.
    executor
        Where to compute; None for one process on this machine.
    progress
        Called with the decoding, and with each run under examination.
    """
    decode_needed([job.planned for job in jobs], progress)
    with closing((executor or LocalProcesses()).run(list(jobs), progress)) as results:  # type: ignore[type-var]
        yield from map(settled, results)


def counts(runs: Sequence[PlannedRun], store: Store, entries: Sequence[AuditEntry]) -> dict[str, dict[str, int]]:
    """Count current results: by method and condition, then by audit; audits without any are left out."""
    found: dict[str, dict[str, int]] = {}
    examined = with_artefacts(store.root)
    for run in runs:
        own = found.setdefault(run.name, {})
        for entry in entries if run.spec.key in examined else ():
            if read_result(store.root, run.spec.key, entry) is not None:
                own[entry.name] = own.get(entry.name, 0) + 1
    return found
