"""Scores to compare: one metric of several methods on the tasks and seeds that all of them finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adu_bench.core.errors import UserError, unknown
from adu_bench.metrics.frame import Scorable


@dataclass(frozen=True)
class Scores:
    """Scores of every method on every task with every seed.

    Parameters
    ----------
    metric
        The metric.
    methods, tasks, seeds
        Their names, in the order of the axes of ``values``.
    forget
        The forget domains of each task.
    values
        float64 (methods, tasks, seeds).
    """

    metric: str
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    forget: tuple[tuple[str, ...], ...]
    values: np.ndarray

    @property
    def by_task(self) -> np.ndarray:
        """Means over seeds (methods, tasks)."""
        return self.values.mean(axis=2)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of forget domains that occur, ascending."""
        return tuple(sorted({len(domains) for domains in self.forget}))

    def view(self, size: int | None) -> np.ndarray:
        """Return the mask (T,) of the tasks with ``size`` forget domains (None: all tasks)."""
        return np.array([size is None or len(domains) == size for domains in self.forget])


def views_of(sizes: Sequence[int], only: int | None = None) -> tuple[int | None, ...]:
    """Return the views of a comparison: each number of forget domains, then None for all tasks; or ``only``.

    Raises
    ------
    UserError
        If no task has ``only`` forget domains.
    """
    if only is not None:
        if only not in sizes:
            raise UserError(
                f"No task forgets {only} domains.",
                "Only tasks that both methods finished are compared.",
                f"Choose from: {', '.join(map(str, sizes))}.",
            )
        return (only,)
    return (*sizes, None) if len(sizes) > 1 else tuple(sizes)


def forget_sets(runs: Iterable[Scorable]) -> dict[str, tuple[str, ...]]:
    """Return the forget domains of each task by its name."""
    return {run.spec.task.name: tuple(run.spec.task.forget) for run in runs}


def scores(
    frame: pd.DataFrame, forget: Mapping[str, Sequence[str]], metric: str, methods: Sequence[str] | None = None
) -> Scores:
    """Return one metric of a long table.

    Parameters
    ----------
    frame
        Metrics of the runs of one suite, see `adu_bench.metrics.frame.score`.
    forget
        The forget domains of each task, see `forget_sets`.
    metric
        The metric.
    methods
        The methods, in order; all if None.  Tasks that one of them did not finish with all seeds are left out.

    Raises
    ------
    UserError
        If a method or metric does not occur, or no task was finished by all of them.
    """
    known = tuple(dict.fromkeys(frame["method"]))
    methods = known if methods is None else tuple(methods)
    for method in methods:
        if method not in known:
            raise unknown("method on this board", method, known)
    own = frame[(frame["metric"] == metric) & frame["method"].isin(methods)]
    if own.empty:
        raise unknown("metric on this board", metric, set(frame["metric"]))
    wide = own.pivot(index="task", columns=["method", "seed"], values="value")
    seeds = tuple(sorted(set(own["seed"])))
    wide = wide.reindex(columns=pd.MultiIndex.from_product([methods, seeds])).dropna()
    tasks = tuple(task for task in forget if task in wide.index)
    if not tasks:
        raise UserError(
            f"No task was finished by {' and '.join(methods)} with the seeds {', '.join(map(str, seeds))}.",
            "Methods are compared on the same tasks and seeds.",
            "Finish their runs with adu-bench run.",
        )
    values = wide.loc[list(tasks)].to_numpy(dtype=float).reshape(len(tasks), len(methods), len(seeds))
    sets = tuple(tuple(forget[task]) for task in tasks)
    return Scores(metric, methods, tasks, seeds, sets, values.transpose(1, 0, 2))
