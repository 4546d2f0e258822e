"""A leaderboard: one row a method, complete blocks ranked, everything else shown apart with the reason."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from adu_bench.core.specs import RunSpec
from adu_bench.metrics.frame import Scorable, score
from adu_bench.metrics.measures import harmonic
from adu_bench.runner.plan import Plan, PlannedRun
from adu_bench.stats.estimates import over_domains
from adu_bench.stats.measured import caveat
from adu_bench.stats.ranks import letters, pairwise
from adu_bench.stats.scores import scores

SHOWN = ("mem", "for", "h", "normalised_forgetting", "worst_retain", "domain_probe", "trainable_parameters", "seconds")
"""Measures that are averaged for a board: seeds first, then tasks."""

BASELINE = "baseline"
"""What ablations are compared with, beside their own method."""


@dataclass(frozen=True)
class Row:
    """A method on a board; numbers are fractions, None where there is nothing to say.

    Parameters
    ----------
    method, group
        Label and group.
    reference
        Whether it is a reference: a bound or control, never ranked.
    rank
        1 is best by mean of H; None if it is not ranked.
    mem, for_
        Means over tasks of the means over seeds.
    h_mean
        Mean of H: H is computed a run, averaged over seeds, then tasks.
    h_of_means
        H of means: the harmonic mean of ``mem`` and ``for_``.
    h_low, h_high
        95 % interval of ``h_mean`` for other domains, see `adu_bench.stats.estimates`; None below three domains.
    normalised_forgetting, worst_retain, domain_probe, parameters, seconds
        Means, as ``mem``.
    tasks, runs
        How many finished.
    reason
        Why it is not ranked; empty if it is, or if it is a reference.
    state
        How far a committed row was checked, see `adu_bench.leaderboard.rows.VerificationStatus`; empty for runs made here.
    claimed_mem, claimed_for, claimed_h
        What its submitter claims for ``mem``, ``for_`` and ``h_mean``; the board's own numbers are scored from the
        predictions.
    letters
        Ranked methods that share one cannot be told apart on other domains; empty where there is nothing to compare.
    """

    method: str
    group: str
    reference: bool
    rank: int | None
    mem: float | None
    for_: float | None
    h_mean: float | None
    h_of_means: float | None
    h_low: float | None
    h_high: float | None
    normalised_forgetting: float | None
    worst_retain: float | None
    domain_probe: float | None
    parameters: float | None
    seconds: float | None
    tasks: int
    runs: int
    reason: str
    state: str = ""
    claimed_mem: float | None = None
    claimed_for: float | None = None
    claimed_h: float | None = None
    letters: str = ""


@dataclass(frozen=True)
class Board:
    """The rows of a suite, best first: ranked ones, then references, then what is not ranked.

    Parameters
    ----------
    suite, title
        The suite.
    tasks, seeds
        What a complete block has.
    rows
        See `Row`.
    frame
        All measures of all runs that count, see `adu_bench.metrics.frame.score`.
    common
        The plan's first run; protocol, pictures, classes, weights and training batches are the same in all.
    forget
        The forget domains of each task of the plan, by the task's name.
    part
        The board of the tasks on which methods with a smaller block ran, together with what they are compared with;
        None where every method has the whole block.
    sizes
        The boards of the tasks that forget so many domains; empty where all tasks forget the same number.
    runs
        The finished runs that count.
    caveat
        Why intervals and letters may not hold for other domains; empty if they do.
    """

    suite: str
    title: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    frame: pd.DataFrame
    common: RunSpec
    forget: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    part: Board | None = None
    sizes: Mapping[int, Board] = field(default_factory=dict)
    runs: tuple[Scorable, ...] = ()
    caveat: str = ""


def make_board(plan: Plan, found: Iterable[Scorable]) -> Board:
    """Make the board of a plan from finished runs.

    Only runs that the plan names count, so protocols, data, weights and versions of methods never mix.  A method of
    which only other versions are found is shown unranked, with what differs.

    Parameters
    ----------
    plan
        Which runs make up the board.
    found
        Finished runs (of a store or of committed rows), also unrelated ones.
    """
    found = list(found)
    wanted = {run.spec.key: run for run in plan.runs}
    counted = tuple(run for run in found if run.key in wanted)
    frame = score(counted, plan.suite.name)
    frame["method"] = frame["key"].map(lambda key: wanted[key].label)
    stale = [run for run in found if run.key not in wanted]
    tasks = {label: _tasks(plan, label) for label in dict.fromkeys(run.label for run in plan.runs)}
    whole = set().union(*tasks.values())
    small = [label for label, own in tasks.items() if own != whole]
    labels = [label for label in tasks if label not in small]
    board = replace(_board(plan, labels, whole, frame, stale), runs=counted)
    by_count = _by_count(plan, whole)
    if len(by_count) > 1:
        sizes = {count: _board(plan, labels, within, frame, stale) for count, within in sorted(by_count.items())}
        board = replace(board, sizes=sizes)
    if not small:
        return board
    block = set().union(*(tasks[label] for label in small))
    methods = {run.spec.method.name for run in plan.runs if run.label in small} | {BASELINE}
    compared = [label for label in tasks if label in methods]
    return replace(board, part=_board(plan, [*compared, *small], block, frame, stale))


def by_size(board: Board) -> pd.DataFrame:
    """Average a board's methods by the number of forget domains, as the paper's main table does.

    Returns
    -------
    DataFrame
        One row a method and number, methods as on the board: method, forget, mem, for, h_mean, h_of_means (fractions,
        seeds first, then tasks), tasks.
    """
    wide = board.frame.pivot(index="key", columns="metric", values="value")[["mem", "for", "h"]]
    wide = wide.join(board.frame.groupby("key")[["method", "forget", "task"]].first())
    by_task = wide.groupby(["method", "forget", "task"]).mean().reset_index()
    found = by_task.groupby(["method", "forget"]).agg(
        mem=("mem", "mean"), **{"for": ("for", "mean")}, h_mean=("h", "mean"), tasks=("task", "nunique")
    )
    found["h_of_means"] = [harmonic(mem, for_) for mem, for_ in zip(found["mem"], found["for"], strict=True)]
    order = [(row.method, size) for row in board.rows for size in sorted(set(wide["forget"]))]
    return found.reindex([pair for pair in order if pair in found.index]).reset_index()


def _tasks(plan: Plan, label: str) -> set[str]:
    return {run.spec.task.name for run in plan.runs if run.label == label}


def _by_count(plan: Plan, within: set[str]) -> dict[int, set[str]]:
    """Group tasks by how many domains they forget."""
    found: dict[int, set[str]] = {}
    for task in {run.spec.task for run in plan.runs if run.spec.task.name in within}:
        found.setdefault(len(task.forget), set()).add(task.name)
    return found


def _board(
    plan: Plan, labels: Sequence[str], within: set[str], frame: pd.DataFrame, stale: Sequence[Scorable]
) -> Board:
    """Make the board of some methods within some tasks."""
    runs = [run for run in plan.runs if run.label in labels and run.spec.task.name in within]
    own = frame[frame["method"].isin(labels) & frame["task"].isin(within)]
    forget = {run.spec.task.name: run.spec.task.forget for run in plan.runs}
    means = frame[frame["metric"] == "h"].groupby(["method", "task"])["value"].mean()
    # Tasks beyond these help to tell how far domains differ; the same ones for all methods, so that intervals compare.
    common = set(forget).intersection(*(_tasks(plan, label) for label in labels))
    intervals = {
        label: _interval(means[label][means[label].index.isin(common)], forget, within) for label in set(own["method"])
    }
    rows = [
        _row(label, [run for run in runs if run.label == label], own, intervals.get(label, (None, None)), stale)
        for label in labels
    ]
    ranked = _with_letters(_ranked(rows), frame, forget, within)
    tasks = tuple(dict.fromkeys(run.spec.task.name for run in runs))
    seeds = tuple(dict.fromkeys(run.spec.seed for run in runs))
    doubt = caveat([forget[task] for task in sorted(common)])
    return Board(plan.suite.name, plan.suite.title, tasks, seeds, ranked, own, plan.runs[0].spec, forget, caveat=doubt)


def differences(spec: RunSpec, wanted: RunSpec) -> list[str]:
    """Say in words how a run differs from the one that is wanted."""
    pairs = [
        ("another protocol version", spec.protocol, wanted.protocol),
        ("other pictures", spec.task.data_hash, wanted.task.data_hash),
        ("another class set", spec.task.classes, wanted.task.classes),
        ("other shots", spec.task.shots, wanted.task.shots),
        ("another template", spec.task.template, wanted.task.template),
        ("another backbone", spec.backbone.name, wanted.backbone.name),
        ("other weights", spec.backbone.weights_hash, wanted.backbone.weights_hash),
        ("other training batches or precision", spec.training, wanted.training),
        ("other hyper-parameters", spec.method.fields, wanted.method.fields),
        ("an earlier version of the method's file", spec.method.source_hash, wanted.method.source_hash),
        ("an earlier version of shared training code", spec.method.shared_hash, wanted.method.shared_hash),
    ]
    return [text for text, one, other in pairs if one != other]


def _row(
    label: str,
    planned: Sequence[PlannedRun],
    frame: pd.DataFrame,
    interval: tuple[float | None, float | None],
    stale: Sequence[Scorable],
) -> Row:
    group = planned[0].group
    own = frame[frame["method"] == label]
    keys = set(own["key"])
    missing = [run for run in planned if run.spec.key not in keys]
    # The block is the task: seeds are averaged first, since they are not independent tasks.
    by_task = own.groupby(["metric", "task"])["value"].mean()
    means = {name: float(by_task[name].mean()) for name in SHOWN if name in by_task.index.get_level_values(0)}
    means = {name: value for name, value in means.items() if np.isfinite(value)}
    return Row(
        method=label,
        group=group,
        reference=group == "reference",
        rank=None,
        mem=means.get("mem"),
        for_=means.get("for"),
        h_mean=means.get("h"),
        h_of_means=harmonic(means["mem"], means["for"]) if {"mem", "for"} <= set(means) else None,
        h_low=interval[0],
        h_high=interval[1],
        normalised_forgetting=means.get("normalised_forgetting"),
        worst_retain=means.get("worst_retain"),
        domain_probe=means.get("domain_probe"),
        parameters=means.get("trainable_parameters"),
        seconds=means.get("seconds"),
        tasks=own["task"].nunique(),
        runs=len(keys),
        reason=_reason(label, planned, missing, stale) if missing else "",
    )


def without_numbers(label: str, reason: str) -> Row:
    """Return the row of a method of which nothing can be scored, and why."""
    empty: dict[str, Any] = {field.name: None for field in fields(Row) if field.default is MISSING}
    return Row(
        **empty | {"method": label, "group": "other", "reference": False, "tasks": 0, "runs": 0, "reason": reason}
    )


def _interval(
    means: pd.Series, forget: Mapping[str, Sequence[str]], within: Collection[str]
) -> tuple[float | None, float | None]:
    """Return the interval of a method's mean over some tasks; all that are given tell how far domains differ."""
    view = means.index.isin(within)
    found = over_domains(means.to_numpy(), [forget[task] for task in means.index], view).within(0, 1)
    return found.low, found.high


def _with_letters(
    rows: Sequence[Row], frame: pd.DataFrame, forget: Mapping[str, Sequence[str]], within: Collection[str]
) -> tuple[Row, ...]:
    """Give ranked rows letters: those that share one cannot be told apart on other domains."""
    ranked = [row.method for row in rows if row.rank is not None]
    if len(ranked) < 2:
        return tuple(rows)
    block = scores(frame, forget, "h", ranked)
    found = letters(pairwise(block, [task in within for task in block.tasks]))
    return tuple(replace(row, letters=found.get(row.method, "")) for row in rows)


def _reason(label: str, planned: Sequence[PlannedRun], missing: Sequence[PlannedRun], stale: Sequence[Scorable]) -> str:
    incomplete = f"{len(planned) - len(missing)} of {len(planned)} runs finished"
    first = missing[0].spec
    for run in stale:
        spec = run.spec
        if run.label == label and spec.seed == first.seed and spec.task.forget == first.task.forget:
            return f"{incomplete}; found runs have {', '.join(differences(spec, first)) or 'another data set'}"
    return incomplete


def _ranked(rows: Sequence[Row]) -> tuple[Row, ...]:
    def best_first(row: Row) -> tuple[float, str]:
        return (-(row.h_mean if row.h_mean is not None else -1.0), row.method)

    ranked = sorted((row for row in rows if not row.reference and not row.reason), key=best_first)
    numbered = [replace(row, rank=place) for place, row in enumerate(ranked, start=1)]
    references = sorted((row for row in rows if row.reference and not row.reason), key=best_first)
    rest = sorted((row for row in rows if row.reason), key=best_first)
    return (*numbered, *references, *rest)
