"""Committed rows whose runs are not the ones that the current code, data and suite plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adu_bench.leaderboard.board import differences
from adu_bench.leaderboard.rows import StoredRun
from adu_bench.registry import ChangedField, Choice, MethodSource
from adu_bench.runner.plan import Plan, PlannedRun
from adu_bench.suites import Suite

NOTE = (
    "These rows were computed with an earlier version of adu-bench; they are not comparable with new runs until they "
    "are computed again."
)


def stale_rows(planned: Plan, runs: Sequence[StoredRun]) -> dict[str, str]:
    """Return the stale rows of a suite.

    Parameters
    ----------
    planned
        What the methods of the rows would run now.
    runs
        The runs of all committed rows of the suite.

    Returns
    -------
    dict
        By label, how the row's runs differ from the planned ones, in a few words.
    """
    found = {}
    for label in dict.fromkeys(run.label for run in planned.runs):
        wanted = {run.spec.key: run.spec for run in planned.runs if run.label == label}
        own = [run for run in runs if run.label == label]
        others = [run.spec for run in own if run.key not in wanted]
        places = {(spec.task.forget, spec.seed): spec for spec in wanted.values()}
        reasons: dict[str, None] = {}
        for spec in others:
            place = places.get((spec.task.forget, spec.seed))
            texts = differences(spec, place) or ["another data set"] if place is not None else ["another task or seed"]
            reasons |= dict.fromkeys(texts)
        missing = len(wanted) - (len(own) - len(others))
        if not others and missing:
            reasons[f"{missing} of {len(wanted)} runs missing"] = None
        if reasons:
            found[label] = ", ".join(reasons)
    return found


def as_recorded(
    suite: Suite, choices: Sequence[Choice], runs: Sequence[StoredRun], stale: Mapping[str, str]
) -> Plan | None:
    """Return the plan that the rows of a suite were computed by, if all of them are stale and belong together.

    Their numbers stay comparable among themselves, though not with new runs.

    Parameters
    ----------
    suite, choices
        The suite, and the methods of its rows.
    runs
        The runs of these rows.
    stale
        See `stale_rows`.

    Returns
    -------
    Plan or None
        None if a row is current, or rows differ in protocol, data, classes, shots, template, weights,
        training or supervision.
    """
    chosen = {choice.label: choice for choice in choices}
    own = [run for run in runs if run.label in chosen]
    shared = {
        (
            run.spec.protocol,
            run.spec.task.data_hash,
            run.spec.task.classes,
            run.spec.task.held_out,
            run.spec.task.shots,
            run.spec.task.template,
            run.spec.backbone,
            run.spec.training,
            run.spec.supervision,
        )
        for run in own
    }
    if len(shared) != 1 or set(chosen) - set(stale):
        return None
    planned = tuple(
        PlannedRun(
            run.spec,
            run.label,
            chosen[run.label].preset.group,
            MethodSource(""),
            "",
            run.spec.backbone.name,
            _changed(suite, chosen[run.label], run),
        )
        for run in own
    )
    return Plan(suite, planned, ())


def _changed(suite: Suite, choice: Choice, run: StoredRun) -> tuple[ChangedField, ...]:
    """Return the recorded fields that differ from a method's defaults.

    A row does not record who set a field, so that is taken from the suite as it is now.
    """
    origins = {field.name: field.origin for field in choice.changed(suite.budget, suite.settings)}
    recorded = dict(run.spec.method.fields)
    return tuple(
        ChangedField(name, field.default, recorded[name], origins.get(name, "tuned"))
        for name, field in choice.entry.fields.items()
        if recorded.get(name, field.default) != field.default
    )
