"""Say which runs of a plan are finished, failed or still to do."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from adu_bench.cli.common import flag, plan_options, selection_of


def options(parser: Any) -> None:
    """Add the command's options."""
    plan_options(parser)
    parser.add_argument("--out", type=str, default="runs", metavar="DIR", help="folder of the runs")
    flag(parser, "json", "print JSON")


def run(options: Any) -> int:
    """Print one line per method, and why runs failed."""
    from adu_bench.store import Store

    store, plan = Store(Path(options.out)), selection_of(options).plan()
    todo = {run.spec.key for run in plan.unfinished(store)}
    states: dict[str, Counter[str]] = {}
    failures = []
    for planned in plan.runs:
        failure = store.failure(planned.spec.key) if planned.spec.key in todo else None
        state = "failed" if failure else "to do" if planned.spec.key in todo else "finished"
        states.setdefault(planned.label, Counter())[state] += 1
        if failure:
            failures.append((planned.title, failure["reason"]))
    if options.json:
        print(json.dumps([{"name": name, "state": dict(counts)} for name, counts in states.items()], indent=1))
        return 0
    for name, counts in states.items():
        print(f"{name}: " + ", ".join(f"{number} {state}" for state, number in counts.items()))
    for title, reason in failures:
        print(f"Failed: {title}: {reason}")
    return 0
