"""List methods, suites, tasks, backbones, metrics or audits."""

from __future__ import annotations

import json
from typing import Any

from adu_bench.cli.common import flag, from_option, suite_option
from adu_bench.core.errors import unknown

KINDS = ("methods", "suites", "tasks", "backbones", "metrics", "audits")


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("kind", type=str, metavar="|".join(KINDS), help="what to list")
    suite_option(parser)
    from_option(parser)
    flag(parser, "json", "print JSON objects with name and state")


def run(options: Any) -> int:
    """Print the list."""
    if options.kind not in KINDS:
        raise unknown("list", options.kind, KINDS)
    found = _found(options)
    if options.json:
        print(json.dumps(found, indent=1, default=str))
        return 0
    width = max((len(item["name"]) for item in found), default=0)
    for item in found:
        state = "" if item["state"] == "ok" else f"[{item['state']}] "
        print(f"{item['name']:<{width}}  {state}{item['summary']}")
    return 0


def _found(options: Any) -> list[dict[str, Any]]:
    from adu_bench.workflows import listing

    if options.kind == "methods":
        from adu_bench.workflows.selection import open_catalogue

        return listing.list_methods(open_catalogue(options["from"]))
    if options.kind == "audits":
        return listing.list_audits(options["from"])
    if options.kind == "tasks":
        from adu_bench.suites import load_suite

        return listing.list_tasks(load_suite(options.suite))
    return {"suites": listing.list_suites, "backbones": listing.list_backbones, "metrics": listing.list_metrics}[
        options.kind
    ]()
