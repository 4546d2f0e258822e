"""Describe methods, suites, tasks, backbones, metrics and audits as plain values with a name, a state and a summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adu_bench.audits.catalogue import find_audits
from adu_bench.clip.identity import SHIPPED, SHIPPED_WEIGHTS
from adu_bench.core.errors import UserError
from adu_bench.core.specs import forget_name
from adu_bench.core.words import counted
from adu_bench.data.sources import outline
from adu_bench.metrics.measures import METRICS
from adu_bench.registry import Catalogue, ChangedField, format_value
from adu_bench.suites import Suite, load_suite, suite_names


def list_methods(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Describe the known methods, and the files that cannot be read."""
    found = [
        {"name": name, "state": "ok", "group": preset.group, "summary": f"{preset.group}: {preset.summary}"}
        for name, (preset, _) in sorted(catalogue.presets.items(), key=lambda item: (item[1][0].group, item[0]))
    ]
    return found + [
        {"name": broken.name, "state": "broken", "group": "", "summary": f"{broken.reason} ({broken.path})"}
        for broken in catalogue.broken
    ]


def list_suites() -> list[dict[str, Any]]:
    """Describe all suites."""
    return [_outlined(name) for name in suite_names()]


def _outlined(name: str) -> dict[str, Any]:
    """Describe a suite; one with a damaged data set says so, and the others are listed all the same."""
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
        "summary": f"{suite.title} ({counted(len(suite.forget), 'task')} x {counted(len(suite.seeds), 'seed')})",
    }


def list_tasks(suite: Suite) -> list[dict[str, Any]]:
    """Describe the tasks of a suite."""
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


def list_backbones() -> list[dict[str, Any]]:
    """Describe the backbones that can be named."""
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


def list_audits(extra: str = "") -> list[dict[str, Any]]:
    """Describe the known audits, with those of a further folder or file."""
    return [
        {
            "name": name,
            "state": "ok",
            "level": entry.card.level,
            "question": entry.card.question,
            "attacker": entry.card.attacker,
            "metrics": {metric.name: metric.explanation for metric in entry.card.metrics},
            "controls": entry.card.controls,
            "source": entry.card.source,
            "summary": f"{entry.card.level}: {entry.card.question}",
        }
        for name, entry in find_audits(extra).items()
    ]


def list_metrics() -> list[dict[str, Any]]:
    """Describe all metrics."""
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


def budget_lines(changed: Mapping[str, Sequence[ChangedField]]) -> list[str]:
    """Say where a suite's budget replaces the defaults of methods, one line per group of methods with the same values.

    Parameters
    ----------
    changed
        The changed fields by label, see `adu_bench.registry.Choice.changed`.

    Returns
    -------
    list of str
        For example ``epochs 16 (default 50) for adu, baseline``; empty if the budget changes nothing.
    """
    groups: dict[str, list[str]] = {}
    for label, fields in changed.items():
        text = ", ".join(
            f"{field.name} {format_value(field.value)} (default {format_value(field.default)})"
            for field in fields
            if field.origin == "budget"
        )
        groups.setdefault(text, []).append(label)
    return [f"{text} for {', '.join(_short(labels))}" for text, labels in groups.items() if text]


def _short(labels: Iterable[str]) -> Iterable[str]:
    """Name the presets once: a study has one label per value of its variable."""
    return dict.fromkeys(label.partition("[")[0] for label in labels)
