"""Compute all metrics of finished runs as one long table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from adu_bench.cli.common import plan_options, selection_of, study_option
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError
from adu_bench.core.files import replacing


def options(parser: Any) -> None:
    """Add the command's options."""
    plan_options(parser)
    study_option(parser)
    parser.add_argument("--runs", type=str, default="runs", metavar="DIR", help="folder of the runs")
    parser.add_argument(
        "--out", type=str, default="", metavar="FILE", help="write .csv or .parquet instead of printing CSV"
    )


def run(options: Any) -> int:
    """Print or write the table."""
    from adu_bench.metrics.frame import score
    from adu_bench.store import Store

    folder = Path(options.runs)
    store = Store(folder)
    plan = selection_of(options).plan(store)
    runs = store.runs([run.spec.key for run in plan.runs])
    if not runs:
        raise UserError(
            f"There are no finished runs of '{plan.suite.name}' in '{folder}'.",
            "Metrics are computed from runs.",
            command("run", suite=options.suite, methods=options.methods, study=options.study),
        )
    frame = score(runs, plan.suite.name)
    frame["method"] = frame["key"].map({run.spec.key: run.name for run in plan.runs})
    if not options.out:
        frame.to_csv(sys.stdout, index=False)
        return 0
    if not options.out.endswith((".csv", ".parquet")):
        raise UserError(
            f"'{options.out}' has an unknown format.",
            "The ending of the name determines the format.",
            "Use .csv or .parquet.",
        )
    with replacing(Path(options.out)) as temporary:
        if options.out.endswith(".csv"):
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)
    return 0
