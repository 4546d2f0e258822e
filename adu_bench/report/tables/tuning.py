"""What a search for hyper-parameters found, method by method, and how far its validation images can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from adu_bench.core.specs import Value
from adu_bench.registry import format_value
from adu_bench.report.figures.common import percent
from adu_bench.report.tables.table import Cell, Table, markdown
from adu_bench.runner.trial import read_log
from adu_bench.runner.tune import ERRORS, Search, draw_trials, free_fields


@dataclass(frozen=True)
class Tuned:
    """The search for one method's fields.

    Parameters
    ----------
    method
        Its label.
    trials
        The fields of each trial, by number; trial 0 has the method's defaults.
    validation, test
        Finished runs, one row each: ``trial``, ``task``, ``seed``, ``h`` (a fraction), on either pool.
    chosen, best
        The trial that was taken, and the trial that was compared with the defaults in the end.
    gain, error
        Mean difference in H on the validation images between ``best`` and the defaults, and its standard error; None
        if the defaults were best.
    ranges
        The values that were searched, by field: ``(low, high)`` on a logarithmic scale, or a list of values.
    defaults
        The method's own default of each searched field.
    """

    method: str
    trials: Mapping[int, Mapping[str, Value]]
    validation: pd.DataFrame
    test: pd.DataFrame
    chosen: int
    best: int
    gain: float | None
    error: float | None
    ranges: Mapping[str, Any]
    defaults: Mapping[str, Value]


def read_search(search: Search) -> Tuned:
    """Read the logs of a finished search."""
    validation, test = (_runs(search, end) for end in _LOGS)
    found, fields = search.chosen(), search.choice.entry.fields
    ranges = free_fields(search.choice)
    return Tuned(
        search.choice.label,
        dict(enumerate(draw_trials(search.choice, search.number))),
        validation,
        test,
        found.trial,
        found.best,
        found.gain,
        found.error,
        ranges,
        {name: fields[name].default for name in ranges},
    )


_LOGS = (".jsonl", ".test.jsonl")


def _runs(search: Search, end: str) -> pd.DataFrame:
    """Return the search's own runs in a log, which may also hold runs of other numbers of trials or of earlier code."""
    log = read_log(search.out / search.suite.name / f"{search.choice.label}{end}")
    rows = [(trial, cell.task.name, cell.seed, log[key]["h"]) for trial, cell, key in search.runs() if key in log]
    return pd.DataFrame(rows, columns=["trial", "task", "seed", "h"])


@dataclass(frozen=True)
class Agreement:
    """How well validation images rank the trials of one method.

    Parameters
    ----------
    trials, runs
        The trials that were scored on test images, and the runs (task and seed) that all of them share.
    spearman
        Rank correlation of validation and test H over these trials; None with fewer than three, or without spread.
    regret
        Test H of the best of these trials minus that of the chosen one, 0..1; None if the chosen one is not among them.
    """

    trials: int
    runs: int
    spearman: float | None
    regret: float | None


def agreement(tuned: Tuned) -> Agreement:
    """Compare validation and test H of a method's trials over the runs that all trials have.

    Trials that a search drops early have fewer runs; means over different tasks and seeds cannot be compared.
    """
    pools = [
        pool.pivot_table(index="trial", columns=["task", "seed"], values="h").reindex(sorted(set(tuned.test["trial"])))
        for pool in (tuned.validation, tuned.test)
    ]
    shared = [cell for cell in pools[0].columns if cell in pools[1].columns and not any(p[cell].hasnans for p in pools)]
    if not shared:
        return Agreement(len(pools[1]), 0, None, None)
    validation, test = (pool[shared].mean(axis=1) for pool in pools)
    ranked = len(test) > 2 and min(validation.nunique(), test.nunique()) > 1
    spearman = float(validation.corr(test, method="spearman")) if ranked else None
    regret = float(test.max() - test[tuned.chosen]) if tuned.chosen in test.index else None
    return Agreement(len(test), len(shared), spearman, regret)


def outcome_table(found: Sequence[Tuned]) -> Table:
    """Return one row per method: what was tried, what was taken and why, and how far validation can be trusted."""

    def cells(one: Tuned) -> tuple[Cell, ...]:
        known = agreement(one)
        return (
            Cell(one.method, name=True),
            Cell(str(len(one.trials))),
            Cell(str(len(one.validation))),
            Cell(", ".join(f"{name} {_value(value)}" for name, value in chosen_fields(one).items())),
            Cell("-" if one.gain is None else percent(one.gain, signed=True)),
            Cell("-" if one.error is None else percent(one.error)),
            Cell("tuned" if one.chosen else "defaults"),
            Cell("-" if known.spearman is None else f"{known.spearman:.2f}"),
            Cell("-" if known.regret is None else percent(known.regret)),
        )

    return Table(
        columns=("method", "trials", "runs", "fields", "gain", "error", "taken", "Spearman", "regret"),
        parts=(tuple(map(cells, found)),),
        align="lrrlrrlrr",
    )


def ranges_table(found: Sequence[Tuned]) -> Table:
    """Return one row per method and searched field: range, default and taken value."""
    return Table(
        columns=("method", "field", "searched", "default", "taken"),
        parts=(
            tuple(
                (
                    Cell(one.method, name=True),
                    Cell(field),
                    Cell(_range(range_)),
                    Cell(_value(one.defaults[field])),
                    Cell(_value(chosen_fields(one)[field])),
                )
                for one in found
                for field, range_ in one.ranges.items()
            ),
        ),
        align="llrrr",
    )


def chosen_fields(one: Tuned) -> dict[str, Value]:
    """Return the taken values of all searched fields; a trial without a value has the default."""
    return {field: one.trials[one.chosen].get(field, one.defaults[field]) for field in one.ranges}


def tuning_page(suite: str, found: Sequence[Tuned]) -> str:
    """Return the page on the search for a suite's settings as Markdown."""
    return "\n".join(
        [
            f"# How the settings of {suite} were chosen",
            "",
            "Written by `adu-bench tune` from the logs in this folder. Every method has the same number of trials. "
            "Only validation images decide. Test images are scored to show how far validation can be trusted; nothing "
            "is chosen by them.",
            "",
            markdown(outcome_table(found)),
            "- **fields**: the taken values of the searched fields.",
            "- **gain**: H of the best trial minus H of the defaults on validation images, in points, on seeds that no "
            "earlier stage used.",
            "- **error**: standard error of the gain over tasks and seeds.",
            f"- **taken**: the defaults stay unless the gain is more than {ERRORS:g} times its error.",
            "- **Spearman**: rank correlation of validation H and test H over the trials of this method.",
            "- **regret**: test H of the best trial minus test H of the taken one, in points.",
            "",
            "Spearman and regret use the runs that all trials of a method share, because trials that are dropped early "
            "have fewer runs.",
            "",
            "## Ranges",
            "",
            "Intervals are searched on a logarithmic scale. The method files give the source of each range.",
            "",
            markdown(ranges_table(found)),
        ]
    )


def _range(values: Any) -> str:
    if isinstance(values, tuple):
        return f"{values[0]:g} to {values[1]:g}"
    return ", ".join(_value(value) for value in values)


def _value(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else format_value(value)
