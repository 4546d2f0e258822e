"""Say which runs of a plan are finished, failed or still to do, and which were audited."""

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
    """Print one line per method with its runs and audits, and why runs failed."""
    from adu_bench.audits.catalogue import find_audits
    from adu_bench.store import Store
    from adu_bench.workflows.audit import counts

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
    audited = counts(plan.runs, store, list(find_audits(options["from"]).values()))
    if options.json:
        found = [{"name": name, "state": dict(own), "audits": audited[name]} for name, own in states.items()]
        print(json.dumps(found, indent=1))
        return 0
    for name, own in states.items():
        line = ", ".join(f"{number} {state}" for state, number in own.items())
        done = ", ".join(f"{number} {audit}" for audit, number in audited[name].items())
        print(f"{name}: {line}" + (f"; audited: {done}" if done else ""))
    for title, reason in failures:
        print(f"Failed: {title}: {reason}")
    return 0
