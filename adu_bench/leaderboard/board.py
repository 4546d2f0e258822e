"""A leaderboard: one row per method.  Complete blocks are ranked; all other rows follow with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import pandas as pd

from adu_bench.core.specs import RunSpec
from adu_bench.leaderboard.aspects import Forgetting
from adu_bench.leaderboard.forgetting import forgetting_of
from adu_bench.leaderboard.scored import scored
from adu_bench.metrics.evidence import harmonic
from adu_bench.metrics.frame import Scorable
from adu_bench.metrics.measures import board_metrics
from adu_bench.registry import ChangedField
from adu_bench.runner.plan import Plan, PlannedRun
from adu_bench.stats.sample import Sample

BASELINE = "baseline"
"""The method that ablations are compared with, beside the method that they belong to."""
ALL, PART = "all", "part"
"""Views beside the numbers of forget domains: all tasks, and the tasks of methods with a smaller block."""
_EQUAL = 1e-9
"""Means of H that differ by no more are equal, and get equal ranks."""


@dataclass(frozen=True)
class Row:
    """A method on a board.

    ``row[key]`` is the row's value of a metric, None where there is none.

    Parameters
    ----------
    method, group
        Label and group.
    reference
        Whether it is a reference: a bound or control, never ranked.
    rank
        1 is best by mean of H, equal means have equal ranks (1, 2, 2, 4); None if it is not ranked.
    values
        Values by metric key, see `adu_bench.metrics.measures.board_metrics`: fractions, counts, seconds, an interval
        as a pair of fractions, letters as a text.  Metrics without a value are absent.
    tasks, runs
        How many are finished.
    reason
        Why it is not ranked; empty if it is, or if it is a reference.
    state
        How far a committed row was checked, see `adu_bench.leaderboard.rows.VerificationStatus`; empty for runs made
        here.
    claimed
        What its submitter claims, by metric key; ``values`` are computed from the predictions.
    changed
        The fields that differ from the defaults in the method's file, see `adu_bench.registry.Choice.changed`.
    """

    method: str
    group: str
    reference: bool
    rank: int | None
    values: Mapping[str, Any]
    tasks: int
    runs: int
    reason: str
    state: str = ""
    claimed: Mapping[str, float] = field(default_factory=dict)
    changed: tuple[ChangedField, ...] = ()

    def __getitem__(self, key: str) -> Any:
        return self.values.get(key)

    @property
    def kind(self) -> str:
        """``ranked``, ``reference`` or ``unranked``."""
        return "unranked" if self.reason else "reference" if self.reference else "ranked"


@dataclass(frozen=True)
class Board:
    """The rows of a suite, best first: ranked methods, then references, then what is not ranked.

    Parameters
    ----------
    suite, title
        The suite.
    tasks, seeds
        The tasks, by name, and seeds of a complete block.
    rows
        See `Row`.
    frame
        All metrics of all runs that count, see `adu_bench.metrics.frame.score`.
    common
        The plan's first run; protocol, data, classes, weights and training batches are the same in all.
    forget
        The forget domains of each task of the plan, by the task's name.
    part
        The board of the tasks on which methods with a smaller block ran, together with the methods that they are
        compared with; None where every method has the whole block.
    sizes
        The boards of the tasks that forget the same number of domains, by this number; empty where all tasks do.
    runs
        The finished runs that count.
    sample
        Estimates and tests of H for the methods with a complete block; None on a board without runs.
    warning
        Why no row may be compared with new runs; empty if all rows may.
    forgetting
        What audits say of the methods with a complete block; None where none was measured.
    absent
        The methods that have no run on a board of committed rows, by group.
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
    sample: Sample | None = None
    warning: str = ""
    forgetting: Forgetting | None = None
    absent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def make_board(plan: Plan, found: Iterable[Scorable]) -> Board:
    """Make the board of a plan from finished runs.

    Only the plan's runs count, so protocols, data, weights and versions of methods never mix.  A method of which only
    other versions are found is not ranked, and its row says what differs.

    Parameters
    ----------
    plan
        The runs that make up the board.
    found
        Finished runs, of a store or of committed rows; runs that the plan does not contain are allowed.
    """
    found = list(found)
    wanted = {run.spec.key: run for run in plan.runs}
    labels = {key: run.label for key, run in wanted.items()}
    counted = tuple(run for run in found if run.key in wanted)
    stale = [run for run in found if run.key not in wanted]
    tasks = {label: _tasks(plan, label) for label in dict.fromkeys(labels.values())}
    whole = list(dict.fromkeys(run.spec.task.name for run in plan.runs))
    small = [label for label, own in tasks.items() if own != set(whole)]
    views: dict[Any, list[str]] = {ALL: whole, **_by_count(plan)}
    if small:
        block = set().union(*(tasks[label] for label in small))
        views[PART] = [task for task in whole if task in block]
    frame, samples = scored(plan.suite.name, counted, labels, views)
    frame["method"] = frame["key"].map(labels)

    def part(methods: Sequence[str], view: Any) -> Board:
        return _board(plan, methods, samples[view], frame, stale)

    every = [label for label in tasks if label not in small]
    sizes = {view: part(every, view) for view in views if view not in (ALL, PART)}
    board = replace(part(every, ALL), runs=counted, sizes=sizes if len(sizes) > 1 else {})
    if not small:
        return board
    methods = {run.spec.method.name for run in plan.runs if run.label in small} | {BASELINE}
    compared = [label for label in tasks if label in methods]
    return replace(board, part=part([*compared, *small], PART))


def with_forgetting(board: Board, measured: pd.DataFrame, oracle: pd.DataFrame | None = None) -> Board:
    """Add what audits say, to the board, its part and its sizes.

    Parameters
    ----------
    board
        The board.
    measured, oracle
        Measurements of its runs and of oracles, see `adu_bench.leaderboard.measurements`.
    """
    found = forgetting_of(
        board.frame,
        board.tasks,
        [row.method for row in board.rows if not row.reason],
        [row.method for row in board.rows if row.rank is not None],
        len(board.common.task.classes),
        measured,
        oracle,
    )
    part = with_forgetting(board.part, measured, oracle) if board.part is not None else None
    sizes = {size: with_forgetting(each, measured, oracle) for size, each in board.sizes.items()}
    return replace(board, forgetting=found, part=part, sizes=sizes)


def by_size(board: Board) -> pd.DataFrame:
    """Average each method for each number of forget domains, as the paper's main table does.

    Returns
    -------
    DataFrame
        One row per method and number, methods as on the board: method, forget, mem, for, h_mean, h_of_means (fractions;
        averaged over seeds, then over tasks), tasks (how many).
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


def _by_count(plan: Plan) -> dict[int, list[str]]:
    """Group the tasks of a plan by how many domains they forget, ascending."""
    found: dict[int, list[str]] = {}
    for task in dict.fromkeys(run.spec.task for run in plan.runs):
        found.setdefault(len(task.forget), []).append(task.name)
    return dict(sorted(found.items()))


def _board(plan: Plan, labels: Sequence[str], sample: Sample, frame: pd.DataFrame, stale: Sequence[Scorable]) -> Board:
    """Make the board of some methods on the tasks of a sample."""
    runs = [run for run in plan.runs if run.label in labels and run.spec.task.name in sample.tasks]
    own = frame[frame["method"].isin(labels) & frame["task"].isin(sample.tasks)]
    means = _means(own)
    rows = [_row(label, [run for run in runs if run.label == label], own, means, sample, stale) for label in labels]
    tasks = tuple(dict.fromkeys(run.spec.task.name for run in runs))
    seeds = tuple(dict.fromkeys(run.spec.seed for run in runs))
    return Board(
        plan.suite.name,
        plan.suite.title,
        tasks,
        seeds,
        with_letters(_ranked(rows), sample),
        own,
        plan.runs[0].spec,
        {run.spec.task.name: run.spec.task.forget for run in plan.runs},
        sample=sample,
    )


def differences(spec: RunSpec, wanted: RunSpec) -> list[str]:
    """Return in words how a run differs from the planned one."""
    pairs = [
        ("another protocol version", spec.protocol, wanted.protocol),
        ("other images", spec.task.data_hash, wanted.task.data_hash),
        ("another class set", spec.task.classes, wanted.task.classes),
        ("other held-out classes", spec.task.held_out, wanted.task.held_out),
        ("other shots", spec.task.shots, wanted.task.shots),
        ("another template", spec.task.template, wanted.task.template),
        ("another backbone", spec.backbone.name, wanted.backbone.name),
        ("other weights", spec.backbone.weights_hash, wanted.backbone.weights_hash),
        ("other domain labels or dropped images", spec.supervision, wanted.supervision),
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
    means: Mapping[str, Mapping[str, float]],
    sample: Sample,
    stale: Sequence[Scorable],
) -> Row:
    group = planned[0].group
    own = frame[frame["method"] == label]
    keys = set(own["key"])
    missing = [run for run in planned if run.spec.key not in keys]
    return Row(
        method=label,
        group=group,
        reference=group == "reference",
        rank=None,
        values=_values(means.get(label, {}), _interval(label, sample)),
        tasks=own["task"].nunique(),
        runs=len(keys),
        reason=_reason(label, planned, missing, stale) if missing else "",
        changed=planned[0].changed,
    )


def _means(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the finite means of each method by metric."""
    # Seeds are averaged first: a mean is over tasks, and seeds are not independent tasks.
    by_task = frame.groupby(["method", "metric", "task"])["value"].mean()
    found: dict[str, dict[str, float]] = {}
    for (method, metric), mean in by_task.unstack("task").mean(axis=1).items():
        if isfinite(mean):
            found.setdefault(method, {})[metric] = float(mean)
    return found


def _values(means: Mapping[str, float], interval: tuple[float, float] | None) -> dict[str, Any]:
    """Return a method's values of all board metrics."""
    known = {**means, **({"h_interval": interval} if interval is not None else {})}
    values = {metric.key: metric.on_board(known) for metric in board_metrics()}
    return {key: value for key, value in values.items() if value is not None}


def without_numbers(label: str, reason: str) -> Row:
    """Return the row of a method for which no metric can be computed, with the reason."""
    return Row(label, "other", False, None, {}, 0, 0, reason)


def _interval(label: str, sample: Sample) -> tuple[float, float] | None:
    """Return the interval of a method's mean of H; None if its block is not complete, or there are too few seeds."""
    if label not in sample.methods:
        return None
    found = sample.mean(label)
    return None if found.low is None or found.high is None else (found.low, found.high)


def with_letters(rows: Sequence[Row], sample: Sample) -> tuple[Row, ...]:
    """Give ranked rows letters: methods that share a letter cannot be told apart on these tasks."""
    ranked = [row.method for row in rows if row.rank is not None]
    if len(ranked) < 2 or not set(ranked) <= set(sample.methods):
        return tuple(rows)
    found = sample.letters(ranked)
    return tuple(
        replace(row, values={**row.values, "letters": own}) if (own := found.get(row.method)) else row for row in rows
    )


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
        return (-row.values.get("h_mean", -1.0), row.method)

    ranked = sorted((row for row in rows if not row.reference and not row.reason), key=best_first)
    numbered: list[Row] = []
    for place, row in enumerate(ranked, start=1):
        before = numbered[-1] if numbered else None
        equal = before is not None and abs(before["h_mean"] - row["h_mean"]) <= _EQUAL
        numbered.append(replace(row, rank=before.rank if before is not None and equal else place))
    references = sorted((row for row in rows if row.reference and not row.reason), key=best_first)
    rest = sorted((row for row in rows if row.reason), key=best_first)
    return (*numbered, *references, *rest)
