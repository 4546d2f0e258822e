"""Collect the figures and tables of a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adu_bench.report.sections import Material, Report, make_report
from adu_bench.store import Store
from adu_bench.workflows.board import ANY, Results, board_of
from adu_bench.workflows.selection import Selection


def report_of(
    selection: Selection, results: Results = ANY, task: str = "", shown: tuple[str, ...] = ()
) -> tuple[Report, str]:
    """Make the report of a suite.

    Parameters
    ----------
    selection
        Suite and methods; by default the methods of the results that are not points of a study.
    results
        Where the results are.
    task
        Name of the task whose features and attention are shown; empty for the first.
    shown
        Methods whose features and attention are shown; empty for the best two.

    Returns
    -------
    tuple
        The report, and the suite's name.
    """
    store = Store(Path(results.runs or "runs"))
    if results.runs and not selection.methods:
        labels = dict.fromkeys(run.label for run in store.runs())
        methods = ",".join(label for label in labels if label in selection.catalogue.presets)
        selection = replace(selection, methods=methods)
    suite = selection.load_suite()
    board = board_of(selection, results)
    material = Material(
        suite,
        selection.catalogue,
        board,
        store,
        task,
        shown,
        backbone=selection.backbone or None,
        limit=selection.limit or None,
    )
    return make_report(material), suite.name
