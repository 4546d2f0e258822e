"""List methods, suites, tasks, backbones or metrics."""

from __future__ import annotations

import json
from typing import Any

from adu_bench.cli.common import catalogue_of, flag, from_option, suite_option
from adu_bench.core.errors import UserError, unknown
from adu_bench.core.specs import forget_name

KINDS = ("methods", "suites", "tasks", "backbones", "metrics")


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
    found = {
        "methods": _methods,
        "suites": _suites,
        "tasks": _tasks,
        "backbones": _backbones,
        "metrics": _metrics,
    }[options.kind](options)
    if options.json:
        print(json.dumps(found, indent=1, default=str))
        return 0
    width = max(len(item["name"]) for item in found)
    for item in found:
        state = "" if item["state"] == "ok" else f"[{item['state']}] "
        print(f"{item['name']:<{width}}  {state}{item['summary']}")
    return 0


def _methods(options: Any) -> list[dict[str, Any]]:
    catalogue = catalogue_of(options)
    found = [
        {"name": name, "state": "ok", "group": preset.group, "summary": f"{preset.group}: {preset.summary}"}
        for name, (preset, _) in sorted(catalogue.presets.items(), key=lambda item: (item[1][0].group, item[0]))
    ]
    return found + [
        {"name": broken.name, "state": "broken", "group": "", "summary": f"{broken.reason} ({broken.path})"}
        for broken in catalogue.broken
    ]


def _suites(_options: Any) -> list[dict[str, Any]]:
    from adu_bench.suites import suite_names

    return [_outlined(name) for name in suite_names()]


def _outlined(name: str) -> dict[str, Any]:
    """Describe a suite; one whose data set is damaged says so, and hides no other."""
    from adu_bench.data.sources import outline
    from adu_bench.suites import load_suite

    try:
        suite = load_suite(name)
        ready = outline(suite.dataset).ready
    except UserError as error:
        return {"name": name, "state": "damaged", "tasks": None, "seeds": [], "summary": str(error)}
    return {
        "name": suite.name,
        "state": "ok" if ready else "data missing",
        "tasks": len(suite.forget),
        "seeds": list(suite.seeds),
        "summary": f"{suite.title} ({len(suite.forget)} tasks x {len(suite.seeds)} seeds)",
    }


def _tasks(options: Any) -> list[dict[str, Any]]:
    from adu_bench.suites import load_suite

    suite = load_suite(options.suite)
    return [
        {
            "name": forget_name(forget),
            "state": "ok",
            "forget": forget,
            "retain": suite.retain(forget),
            "summary": f"forget {', '.join(forget)}; keep {', '.join(suite.retain(forget))}",
        }
        for forget in suite.forget
    ]


def _backbones(_options: Any) -> list[dict[str, Any]]:
    from adu_bench.clip.identity import SHIPPED, SHIPPED_WEIGHTS

    state = "ok" if SHIPPED_WEIGHTS.is_file() else "missing"
    return [
        {"name": SHIPPED, "state": state, "summary": "the small CLIP that ships with the project (48 pixels)"},
        {
            "name": "MODEL:TAG",
            "state": "ok",
            "summary": "any pretrained open_clip model, e.g. ViT-B-16-quickgelu:openai",
        },
        {"name": "MODEL:FILE", "state": "ok", "summary": "an open_clip model with weights from a local file"},
    ]


def _metrics(_options: Any) -> list[dict[str, Any]]:
    from adu_bench.metrics.measures import METRICS

    return [
        {
            "name": metric.key,
            "state": "ok",
            "direction": metric.direction,
            "family": metric.family,
            "summary": f"{metric.explanation} ({metric.family}, better: {metric.direction})",
        }
        for metric in METRICS.values()
    ]
