"""Say which runs of a plan are finished, failed or still to do, and which were audited."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adu_bench.cli.common import flag, plan_options, selection_of, study_option

if TYPE_CHECKING:
    from adu_bench.runner.plan import Plan
    from adu_bench.store import Store


def options(parser: Any) -> None:
    """Add the command's options."""
    plan_options(parser)
    study_option(parser)
    parser.add_argument("--out", type=str, default="runs", metavar="DIR", help="folder of the runs")
    flag(parser, "json", "print JSON")
    flag(parser, "check", "read all files of the finished runs, and name those that are damaged")
    flag(parser, "mend", "like --check, and delete damaged runs, so that run makes them again")


def run(options: Any) -> int:
    """Print one line per method with its runs and audits, and why runs failed."""
    from adu_bench.audits.catalogue import find_audits
    from adu_bench.store import Store
    from adu_bench.workflows.audit import counts

    store = Store(Path(options.out))
    plan, failed = selection_of(options).plan(store), store.failed()
    damaged = _damaged(plan, store, options.mend) if options.check or options.mend else {}
    todo = {run.spec.key for run in plan.unfinished(store)}
    states: dict[str, Counter[str]] = {}
    failures = []
    for planned in plan.runs:
        key = planned.spec.key
        failure = store.failure(key) if key in todo and key in failed else None
        state = "failed" if failure else "to do" if key in todo else "damaged" if key in damaged else "finished"
        states.setdefault(planned.name, Counter())[state] += 1
        if failure:
            failures.append((planned.title, failure["reason"], store.failure_file(key)))
    audited = counts(plan.runs, store, list(find_audits(options["from"]).values()))
    if options.json:
        found: list[dict[str, Any]]
        found = [{"name": name, "state": dict(own), "audits": audited[name]} for name, own in states.items()]
        if options.check or options.mend:
            found.append({"damaged": [{"run": title, "reason": reason} for title, reason in damaged.values()]})
        print(json.dumps(found, indent=1))
        return int(bool(damaged) and not options.mend)
    for name, own in states.items():
        line = ", ".join(f"{number} {state}" for state, number in own.items())
        done = ", ".join(f"{number} {audit}" for audit, number in audited[name].items())
        print(f"{name}: {line}" + (f"; audited: {done}" if done else ""))
    for title, reason, file in failures:
        print(f"Failed: {title}: {reason}")
        print(f"  Traceback: {file}")
    for title, reason in damaged.values():
        print(f"{'Deleted' if options.mend else 'Damaged'}: {title}: {reason}")
    if damaged and not options.mend:
        print("Delete them with --mend, and run again.")
    return int(bool(damaged) and not options.mend)


def _damaged(plan: Plan, store: Store, mend: bool) -> dict[str, tuple[str, str]]:
    """Return title and damage of the damaged runs of a plan by key, and delete these where asked."""
    found = {}
    for planned in plan.runs:
        key = planned.spec.key
        if store.has(key) and (reason := store.damage(key)):
            found[key] = planned.title, reason
            if mend:
                store.remove(key)
    return found
